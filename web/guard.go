package web

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// policy lets pages load what the bridge itself serves, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// guard lets through what comes from where it may, and answers the rest.
func (b *Bridge) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.bound(w, r)
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		h.Set("Vary", "Origin, Authorization")
		if !b.knownHost(r.Host) {
			b.refuse(w, r, http.StatusMisdirectedRequest, "unknown-host", "the Host header is none of ours; start the bridge with --allow-host")
			return
		}
		foreign, ok := b.origin(r)
		if !ok {
			b.refuse(w, r, http.StatusForbidden, "foreign-origin", "pages of other sites may not use this bridge; start it with --allow-origin")
			return
		}
		if foreign != "" {
			h.Set("Access-Control-Allow-Origin", foreign)
			h.Set("Cross-Origin-Resource-Policy", "cross-origin")
			if r.Method == http.MethodOptions {
				h.Set("Access-Control-Allow-Methods", "GET, POST")
				h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, Last-Event-ID")
				h.Set("Access-Control-Max-Age", "600")
				w.WriteHeader(http.StatusNoContent)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// bound gives a request its time, whoever makes it: to send its body, and to
// take the answer. Streams renew theirs, a write at a time. A connection is
// closed behind a body, unless somebody reads it: the server would wait for it
// before it answers, longer than it may take to.
func (b *Bridge) bound(w http.ResponseWriter, r *http.Request) {
	deadline(w, b.answerTimeout)
	if r.ContentLength != 0 {
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(b.bodyTimeout)) // fails only where the writer has none: in tests
		w.Header().Set("Connection", "close")
	}
}

// unbound takes that back when the body is read: later its time would end the
// request.
func unbound(w http.ResponseWriter) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // as in bound
	w.Header().Del("Connection")
}

// needToken lets through who has the token. Clients send it themselves. There
// is no cookie: browsers send those to every port of a host, so to whatever
// another user of this machine serves there.
func (b *Bridge) needToken(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if t, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); !ok || !same(t, b.config.Token) {
			w.Header().Set("WWW-Authenticate", `Bearer realm="shmbus"`)
			b.refuse(w, r, http.StatusUnauthorized, "unauthorized", "open the login link that the bridge printed when it started, or send its token as Authorization: Bearer")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// knownHost reports whether a Host header is one of ours. On a Unix socket
// there are no names that could be rebound, but curl must send something.
func (b *Bridge) knownHost(host string) bool {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	return isLoopback(name) || slices.Contains(b.config.Hosts, name) || slices.Contains(b.config.Hosts, host)
}

// origin reports whether a request may come from where it says, and if that is
// a listed foreign site, which.
func (b *Bridge) origin(r *http.Request) (foreign string, ok bool) {
	o := r.Header.Get("Origin")
	if o == "" {
		// Not a fetch of a page, or one that needs no permission: browsers say
		// which. A link to the page may stand anywhere.
		site := r.Header.Get("Sec-Fetch-Site")
		return "", site == "" || site == "same-origin" || site == "none" || r.URL.Path == "/"
	}
	if u, err := url.Parse(o); err == nil && (u.Scheme == "http" || u.Scheme == "https") && strings.EqualFold(u.Host, r.Host) {
		return "", true
	}
	if slices.Contains(b.config.Origins, o) {
		return o, true
	}
	return "", false
}
