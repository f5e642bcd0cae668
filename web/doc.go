// Package web is the bridge between a bus and browsers: `shmbus http`.
//
//	browser, curl ──HTTP──▶ Bridge ──▶ bus.Observer    what happens (snapshots)
//	                               ──▶ bus.Subscriber  messages, lossy: a slow reader holds nobody up
//	                               ──▶ bus.Publisher   only with AllowPublish
//
// The bridge is a process of its own and an ordinary participant. Every stream
// of messages is a lossy subscriber that waits for its reader, so what a slow
// reader costs is its own messages, and it is told how many.
//
// # Trust
//
// Whoever can reach the port of a service on loopback may be any user of the
// machine, and any page open in a browser of its users. So each request for
// data must have the token, in a header; its Host must be one of ours (else DNS
// rebinding would make a stranger's page one of ours); its Origin, if it has
// one, too. The page's own files hold no data and need no token: the page takes
// it from the fragment of the login link and keeps it in the tab's
// sessionStorage, which is of one port. A cookie would be of all ports. There
// is no CORS unless origins are listed. Pages load nothing from elsewhere, by
// Content-Security-Policy. Bodies, streams, rates and times are limited. It
// listens on loopback or a socket of mode 0600, nowhere else.
//
// All methods may be called from any goroutine.
package web
