package web

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

const (
	cookieName = "shmbus_token"
	// policy lets pages load what the bridge itself serves, and nothing else.
	policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
		"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

// guard lets through what may come in, and answers the rest.
func (b *Bridge) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		h.Set("Vary", "Origin, Cookie, Authorization")
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
		if r.URL.Path == "/healthz" || r.URL.Path == "/login" {
			next.ServeHTTP(w, r)
			return
		}
		if !b.authorized(r, foreign != "") {
			h.Set("WWW-Authenticate", `Bearer realm="shmbus"`)
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
		// which, since they would send cookies along.
		site := r.Header.Get("Sec-Fetch-Site")
		return "", site == "" || site == "same-origin" || site == "none" || r.URL.Path == "/login"
	}
	if u, err := url.Parse(o); err == nil && (u.Scheme == "http" || u.Scheme == "https") && strings.EqualFold(u.Host, r.Host) {
		return "", true
	}
	if slices.Contains(b.config.Origins, o) {
		return o, true
	}
	return "", false
}

// authorized looks for the token. Foreign sites must send it themselves: no
// cookie of ours speaks for them.
func (b *Bridge) authorized(r *http.Request, foreign bool) bool {
	if t, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return same(t, b.config.Token)
	}
	if c, err := r.Cookie(cookieName); err == nil && !foreign {
		return same(c.Value, b.config.Token)
	}
	return false
}

// login exchanges the token of the link for a cookie, which pages cannot read
// and which is not sent along from other sites.
func (b *Bridge) login(w http.ResponseWriter, r *http.Request) {
	if !same(r.URL.Query().Get("token"), b.config.Token) {
		b.refuse(w, r, http.StatusUnauthorized, "wrong-token", "this login link is of another bridge, or an old one: use the one printed last")
		return
	}
	http.SetCookie(w, &http.Cookie{Name: cookieName, Value: b.config.Token, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: r.TLS != nil})
	http.Redirect(w, r, "/", http.StatusSeeOther)
}
