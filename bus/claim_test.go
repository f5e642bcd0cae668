package bus_test

import (
	"errors"
	"testing"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/bustest"
)

// TestOrphanedClaimIsOver: a claim that the host aborted holds nothing back any
// more once its owner was told; the publisher and its memory go when they are
// closed.
func TestOrphanedClaimIsOver(t *testing.T) {
	b := bustest.New(t)
	p, s := pairOf(t, b, "orphaned", small, bus.SubscriberConfig{UntilDrained: true})
	ctx := contextOf(t)
	for _, end := range []func(*bus.Claim) error{(*bus.Claim).Commit, (*bus.Claim).Abort} {
		c, err := p.Claim(ctx, 8)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Orphan(); err != nil {
			t.Fatal(err)
		}
		if err := end(&c); !errors.Is(err, bus.ErrOrphaned) {
			t.Errorf("an orphaned claim: %v, want ErrOrphaned", err)
		}
		if n := c.CopyIn([]byte("x")); n != 0 || c.Bytes() != nil {
			t.Errorf("an orphaned claim takes %d bytes, and has room for %d", n, len(c.Bytes()))
		}
		if err := end(&c); !errors.Is(err, bus.ErrClosed) {
			t.Errorf("an orphaned claim once more: %v, want ErrClosed", err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	topics, err := b.Topics(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(topics) != 1 || topics[0].Publishers != 0 {
		t.Fatalf("closed, no claim is open, and it is still there: %+v", topics)
	}
	for m, err := range s.Messages(ctx) {
		t.Errorf("got %q, %v, want nothing", m.Payload, err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	bustest.Until(t, "everything to be unmapped", func() bool { return !mapped(t, "orphaned") })
}

// TestCopiesOfAClaim are the same claim: it ends once, in whatever order, and
// others that are open meanwhile stay so.
func TestCopiesOfAClaim(t *testing.T) {
	b := bustest.New(t)
	p, s := pair(t, b, small, bus.SubscriberConfig{})
	ctx := contextOf(t)
	var claims []bus.Claim
	for i := range 4 {
		c, err := p.Claim(ctx, 1)
		if err != nil {
			t.Fatal(err)
		}
		c.CopyIn([]byte{byte('0' + i)})
		claims = append(claims, c)
	}
	for _, i := range []int{2, 0, 3, 1} {
		first, second := claims[i], claims[i]
		if err := claims[i].Commit(); err != nil {
			t.Errorf("claim %d: %v", i, err)
		}
		for name, end := range map[string]func() error{"Commit": first.Commit, "Abort": second.Abort} {
			if err := end(); !errors.Is(err, bus.ErrClosed) {
				t.Errorf("%s of a copy of claim %d, which is over: %v, want ErrClosed", name, i, err)
			}
		}
	}
	for i := range claims {
		expect(t, s, string(rune('0'+i)))
	}
}
