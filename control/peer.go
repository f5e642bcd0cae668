package control

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"
)

// Peer is the process at the other end of a connection, as it was when it
// connected (or, on the connecting side, when the other began to listen). The
// pidfd names it beyond its death and beyond any reuse of its pid.
//
// Safe for concurrent use.
type Peer struct {
	UID, GID uint32
	// PID is for people only; 0 if it has none in our PID namespace.
	PID int32
	// PIDFD becomes readable when the process, all its threads, has ended, also
	// while it is a zombie. Owned by the Peer.
	PIDFD *os.File

	watch  sync.Once
	exited chan struct{} // closed: it has ended
	gone   chan struct{} // closed: watching has ended, one way or the other
	closed chan struct{}
	end    sync.Once
}

// Done is closed when the process has ended; never after Close. The first call
// starts the goroutine that watches; Close joins it.
func (p *Peer) Done() <-chan struct{} {
	p.watch.Do(func() {
		go func() {
			defer close(p.gone)
			if p.waitReadable() == nil {
				close(p.exited)
			}
		}()
	})
	return p.exited
}

// WaitExit waits until the process has ended. If the runtime cannot watch the pidfd it
// looks at it every 100 ms.
//
// Errors: ctx's, ErrClosed.
func (p *Peer) WaitExit(ctx context.Context) error {
	done, gone := p.Done(), p.gone
	var again <-chan time.Time
	for {
		select {
		case <-done:
			return nil
		case <-p.closed:
			return fmt.Errorf("wait for the exit of pid %d: %w", p.PID, ErrClosed)
		case <-ctx.Done():
			return fmt.Errorf("control: wait for the exit of pid %d: %w", p.PID, ctx.Err())
		case <-gone:
			gone = nil // for want of an epoll watch, say; or done, or closed
			tick := time.NewTicker(judgeEvery)
			defer tick.Stop()
			again = tick.C
		case <-again:
			if p.Exited() {
				return nil
			}
		}
	}
}

// Close drops the pidfd; waiters return ErrClosed. Idempotent.
func (p *Peer) Close() error {
	p.end.Do(func() {
		close(p.closed)
		p.PIDFD.Close()
	})
	p.watch.Do(func() { close(p.gone) }) // nobody watches from here on
	<-p.gone
	return nil
}
