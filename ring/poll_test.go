package ring

import (
	"slices"
	"testing"
)

// TestLastBesideTheDead: what the publisher of an exclusive ring left half done
// when it went is nothing to wait for; what is behind it still comes.
func TestLastBesideTheDead(t *testing.T) {
	room := newHeapRoom(t, Options{Exclusive: true, Publishers: 1})
	p, c := room.local(0), room.localConsumer(0, SubscriberSpec{})
	publish := func(what string) {
		if _, err := p.TryPublish([]byte(what), 0, 0); err != nil {
			t.Fatal(err)
		}
	}
	publish("before")
	if _, err := p.TryClaim(4, 0, 0); err != nil {
		t.Fatal(err)
	}
	publish("behind")
	look := func() (got []string, lasts []bool) {
		_, err := c.Poll(func(m Record, last bool) error {
			got, lasts = append(got, string(m.Payload)), append(lasts, last)
			return nil
		}, 9)
		if err != nil {
			t.Fatal(err)
		}
		return got, lasts
	}
	if got, lasts := look(); !slices.Equal(got, []string{"before"}) || !slices.Equal(lasts, []bool{true}) {
		t.Errorf("while the claim is open: %q, last %v", got, lasts)
	}
	publish("last")
	if err := room.host.RemovePublisher(0, p.generation); err != nil {
		t.Fatal(err)
	}
	c2 := room.localConsumer(1, SubscriberSpec{Start: Start{Kind: StartEarliest}})
	for _, x := range []*Consumer{c, c2} {
		c = x
		got, lasts := look()
		if n := len(got); n < 2 || got[n-1] != "last" || slices.Index(lasts, true) != n-1 {
			t.Errorf("when the publisher has gone: %q, last %v", got, lasts)
		}
	}
}
