package metrics

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// guarded refuses requests over loopback whose Host header is no name of
// loopback. A page that a browser on this machine shows may have its own name
// resolved to 127.0.0.1 (DNS rebinding) and then read what is here; its name
// stays in the header. Over a Unix socket or another interface every name will
// do: browsers do not reach the one, and the other anybody can ask directly.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if overLoopback(r) && !namesLoopback(r.Host) {
			plain(w, http.StatusForbidden, "over loopback the Host header must be localhost or a loopback address: ask http://127.0.0.1, or have the proxy send that name")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// overLoopback reports whether a request came to a loopback address.
func overLoopback(r *http.Request) bool {
	to, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	return ok && to.IP.IsLoopback()
}

// namesLoopback reports whether a Host header, with a port or without, can mean
// nothing but this machine. None at all is no browser's.
func namesLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(host)
	if host == "" || host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	a, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && a.Unmap().IsLoopback()
}
