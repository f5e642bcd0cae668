package bus

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
)

// A SharedPublisher is a Publisher for many goroutines: it lets in one at a
// time. While it is in use, its Publisher must not be used directly, Close
// excepted.
//
// Waiting honours contexts: for its turn as for space. Whoever waits for space
// makes way for calls that do not, or a Commit could wait for space that only
// it can free.
type SharedPublisher struct {
	p    *Publisher
	turn chan struct{} // one token: whoever has put it in uses p

	mu     sync.Mutex
	urgent int                // callers that want whoever waits for space to make way
	yield  context.CancelFunc // makes the one who waits for space return; nil if nobody does
}

// Shared returns p for use by many goroutines. Each call makes another guard:
// make one and hand that around.
func (p *Publisher) Shared() *SharedPublisher {
	return &SharedPublisher{p: p, turn: make(chan struct{}, 1)}
}

// Publish is [Publisher.Publish], but looks at ctx each time: many goroutines
// have as many contexts, and beside the turn it does not show.
func (s *SharedPublisher) Publish(ctx context.Context, payload []byte) error {
	needContext(ctx)
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.p.c.config.WhenFull == Block {
		// Almost always this is all there is to do.
		if !s.lockUrgent(ctx) {
			return ctx.Err()
		}
		if err := s.tryInTurn(payload); err == nil {
			return nil
		}
	}
	_, err := waitShared(ctx, s, func(ctx context.Context) (int, error) { return 0, s.p.Publish(ctx, payload) })
	return err
}

// PublishBatch is [Publisher.PublishBatch].
func (s *SharedPublisher) PublishBatch(ctx context.Context, payloads [][]byte) (int, error) {
	done := 0
	_, err := waitShared(ctx, s, func(ctx context.Context) (int, error) {
		n, err := s.p.PublishBatch(ctx, payloads[done:])
		done += n
		return n, err
	})
	return done, err
}

// Claim is [Publisher.Claim].
func (s *SharedPublisher) Claim(ctx context.Context, n int) (Claim, error) {
	c, err := waitShared(ctx, s, func(ctx context.Context) (Claim, error) { return s.p.Claim(ctx, n) })
	if err == nil {
		c.shared = s
	}
	return c, err
}

// WaitSubscribers is [Publisher.WaitSubscribers].
func (s *SharedPublisher) WaitSubscribers(ctx context.Context, n int) error {
	_, err := waitShared(ctx, s, func(ctx context.Context) (int, error) { return 0, s.p.WaitSubscribers(ctx, n) })
	return err
}

// TryPublish is [Publisher.TryPublish].
func (s *SharedPublisher) TryPublish(payload []byte) error {
	s.lockUrgent(context.Background())
	return s.tryInTurn(payload)
}

// tryInTurn publishes, and passes the turn on.
func (s *SharedPublisher) tryInTurn(payload []byte) error {
	defer s.unlock()
	return s.p.TryPublish(payload)
}

// TryClaim is [Publisher.TryClaim].
func (s *SharedPublisher) TryClaim(n int) (Claim, error) {
	s.lockUrgent(context.Background())
	defer s.unlock()
	c, err := s.p.TryClaim(n)
	if err == nil {
		c.shared = s
	}
	return c, err
}

// Unread is [Publisher.Unread].
func (s *SharedPublisher) Unread() uint64 {
	s.lockUrgent(context.Background())
	defer s.unlock()
	return s.p.Unread()
}

// Stats is [Publisher.Stats].
func (s *SharedPublisher) Stats() PublisherStats {
	s.lockUrgent(context.Background())
	defer s.unlock()
	return s.p.Stats()
}

// Topic is [Publisher.Topic].
func (s *SharedPublisher) Topic() string { return s.p.Topic() }

// MaxMessage is [Publisher.MaxMessage].
func (s *SharedPublisher) MaxMessage() int { return s.p.MaxMessage() }

// Close is [Publisher.Close].
func (s *SharedPublisher) Close() error { return s.p.Close() }

// waitShared runs do, which may wait for space, when it is the caller's turn,
// and again each time it had to make way.
func waitShared[T any](ctx context.Context, s *SharedPublisher, do func(context.Context) (T, error)) (T, error) {
	needContext(ctx)
	for {
		select {
		case s.turn <- struct{}{}:
		case <-ctx.Done():
			var none T
			return none, ctx.Err()
		}
		v, madeWay, err := inTurn(ctx, s, do)
		switch {
		case err == nil:
			return v, nil
		case !madeWay:
			// It may have been about to make way when ctx ended.
			if ended := ctx.Err(); ended != nil && !errors.Is(err, ended) && errors.Is(err, context.Canceled) {
				err = fmt.Errorf("%w: %w", err, ended)
			}
			return v, err
		}
		runtime.Gosched()
	}
}

// inTurn runs do with a context that ends when others want it to make way, and
// passes the turn on, also when do panics.
func inTurn[T any](ctx context.Context, s *SharedPublisher, do func(context.Context) (T, error)) (v T, madeWay bool, err error) {
	defer s.unlock()
	mine, yield := context.WithCancel(ctx)
	defer yield()
	s.mu.Lock()
	if s.urgent > 0 {
		yield()
	}
	s.yield = yield
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.yield = nil
		s.mu.Unlock()
	}()
	v, err = do(mine)
	return v, mine.Err() != nil && ctx.Err() == nil, err
}

// lockUrgent takes the turn for a call that does not wait for space; false if
// ctx ended first.
func (s *SharedPublisher) lockUrgent(ctx context.Context) bool {
	select {
	case s.turn <- struct{}{}:
		return true
	default:
	}
	s.mu.Lock()
	s.urgent++
	if s.yield != nil {
		s.yield()
	}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.urgent--
		s.mu.Unlock()
	}()
	select {
	case s.turn <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func (s *SharedPublisher) unlock() { <-s.turn }
