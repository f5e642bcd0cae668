package metrics

import "errors"

// ErrAddress: the address to listen on makes no sense. Want HOST:PORT or
// unix:PATH.
var ErrAddress = errors.New("metrics: bad address")
