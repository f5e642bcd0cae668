package bus_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"testing"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/bustest"
	"github.com/shmbus/shmbus/control"
)

// giveUp has the host free what a member holds, as if it had come back without it. It
// may be that the member's own connection is back first, and nothing is freed.
func giveUp(t *testing.T, dir string, member uint64) {
	t.Helper()
	conn, err := net.Dial("unixpacket", filepath.Join(dir, "test", control.SocketName))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if deadline, ok := contextOf(t).Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	answer := make([]byte, control.MaxMessage)
	for _, m := range []string{
		fmt.Sprintf(`{"version":1,"type":"hello","id":1,"member":%d,"membarrier":true,"returning":true}`, member),
		`{"version":1,"type":"ready","id":2}`,
	} {
		if _, err := conn.Write([]byte(m)); err != nil {
			return
		}
		if _, err := conn.Read(answer); err != nil {
			return
		}
	}
}

// TestOrphanedPublisherStops: the host gives the slot of a publisher that lives to
// others. All its calls say so from then on, also one that blocks, and it can be closed
// as ever; the bus goes on.
func TestOrphanedPublisherStops(t *testing.T) {
	b := bustest.New(t)
	ctx := contextOf(t)
	observer, err := control.Dial(ctx, control.Config{Dir: b.Dir, Bus: "test", Observer: true})
	if err != nil {
		t.Fatal(err)
	}
	defer observer.Close()
	host, err := observer.Host(ctx)
	if err != nil {
		t.Fatal(err)
	}
	p := openPublisher(t, b, "topic", bus.PublisherConfig{})
	waits := openPublisher(t, b, "topic", bus.PublisherConfig{})
	blocked := make(chan error, 1)
	go func() { blocked <- waits.WaitSubscribers(ctx, 99) }()
	// Until it is between two connections of theirs.
	var published, waited error
	for ctx.Err() == nil && (published == nil || waited == nil) {
		giveUp(t, b.Dir, host.Member)
		if published == nil {
			published = p.TryPublish(nil)
		}
		select {
		case waited = <-blocked:
		default:
		}
	}
	if !errors.Is(published, bus.ErrOrphaned) || !errors.Is(waited, bus.ErrOrphaned) {
		t.Fatalf("publishing: %v, a call that blocks: %v, want %v", published, waited, bus.ErrOrphaned)
	}
	for name, call := range map[string]func(context.Context) error{
		"Publish":         func(ctx context.Context) error { return p.Publish(ctx, nil) },
		"PublishBatch":    func(ctx context.Context) error { _, err := p.PublishBatch(ctx, [][]byte{nil}); return err },
		"Claim":           func(ctx context.Context) error { _, err := p.Claim(ctx, 1); return err },
		"TryClaim":        func(context.Context) error { _, err := p.TryClaim(1); return err },
		"WaitSubscribers": func(ctx context.Context) error { return p.WaitSubscribers(ctx, 1) },
	} {
		if err := call(ctx); !errors.Is(err, bus.ErrOrphaned) {
			t.Errorf("%s: %v, want %v", name, err, bus.ErrOrphaned)
		}
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	q, s := pair(t, b, bus.PublisherConfig{}, bus.SubscriberConfig{})
	publish(t, q, "next")
	expect(t, s, "next")
}
