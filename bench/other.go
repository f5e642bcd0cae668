//go:build !linux

package bench

import (
	"context"
	"errors"
	"io"
)

// Run measures the cells; not on this system.
func Run(context.Context, Options) (*Report, error) { return nil, errors.ErrUnsupported }

// Actor is the body of a participant's process; not on this system.
func Actor(io.Reader) error { return errors.ErrUnsupported }
