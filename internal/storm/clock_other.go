//go:build !linux

package storm

import "errors"

// enterClock: there are no time namespaces here.
func enterClock(seconds int64) error {
	if seconds == 0 {
		return nil
	}
	return errors.ErrUnsupported
}
