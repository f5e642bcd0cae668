package web

import "errors"

// ErrConfig: an address, host or origin that the bridge refuses; it says why
// and what to do instead.
var ErrConfig = errors.New("web: refused")

// What the bridge answers by itself.
var (
	errRate    = errors.New("web: too many messages a second")
	errStreams = errors.New("web: too many streams")
	errEnding  = errors.New("web: the bridge is stopping")
	errBusy    = errors.New("web: the bridge is busy")
	errInput   = errors.New("web: bad request")
	errMedia   = errors.New("web: media type")
)
