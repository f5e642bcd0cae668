package bus

import (
	"context"
	"errors"
	"testing"
)

// lateContext ends when over is set, and tells nobody who waits on Done.
type lateContext struct {
	context.Context
	over bool
}

func (c *lateContext) Err() error {
	if c.over {
		return context.DeadlineExceeded
	}
	return nil
}

// TestSharedEndsWhileMakingWay: a call whose context ends while it makes way for
// another says so, and not that somebody cancelled it.
func TestSharedEndsWhileMakingWay(t *testing.T) {
	s := &SharedPublisher{turn: make(chan struct{}, 1)}
	for _, inner := range []error{context.Canceled, errors.Join(ErrStalled, context.Canceled)} {
		ctx := &lateContext{Context: t.Context()}
		_, err := waitShared(ctx, s, func(context.Context) (int, error) {
			ctx.over = true
			return 0, inner
		})
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, inner) {
			t.Errorf("got %v, want it to be %v and %v", err, inner, context.DeadlineExceeded)
		}
	}
}
