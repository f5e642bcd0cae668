package bus_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/bustest"
)

// TestKillParticipant: what a killed process held is given back, and others go
// on.
func TestKillParticipant(t *testing.T) {
	for _, role := range []string{"publisher", "claimer", "subscriber"} {
		t.Run(role, func(t *testing.T) {
			b := bustest.New(t)
			p := openPublisher(t, b, "topic", small)
			victim := bustest.Spawn(t, b, "holder", role, "topic")
			victim.Expect("holding, host false")
			s := openSubscriber(t, b, "topic", bus.SubscriberConfig{})
			publish(t, p, "before")
			victim.Kill()
			for i := range 500 { // more than the ring holds
				publish(t, p, fmt.Sprint(i))
				if i == 0 {
					expect(t, s, "before")
				}
				expect(t, s, fmt.Sprint(i))
			}
			bustest.Until(t, "the slot to be free", func() bool {
				list, err := b.Topics(contextOf(t))
				if err != nil {
					t.Fatal(err)
				}
				return len(list) == 1 && list[0].Publishers == 1 && list[0].Subscribers == 1
			})
		})
	}
}

// TestKillHost: the data path does not notice, and somebody else serves.
func TestKillHost(t *testing.T) {
	dir := bustest.Dir(t)
	host := bustest.SpawnIn(t, dir, "holder", "publisher", "topic")
	host.Expect("holding, host true")
	b := bustest.Open(t, dir)
	p, s := pair(t, b, bus.PublisherConfig{}, bus.SubscriberConfig{})
	publish(t, p, "before")
	host.Kill()
	for i := range 200 {
		publish(t, p, fmt.Sprint(i))
	}
	expect(t, s, "before")
	for i := range 200 {
		expect(t, s, fmt.Sprint(i))
	}
	other := bustest.Open(t, dir)
	q, r := pair(t, other, bus.PublisherConfig{}, bus.SubscriberConfig{})
	publish(t, q, "from the newcomer")
	expect(t, s, "from the newcomer")
	expect(t, r, "from the newcomer")
	bustest.Until(t, "the dead publisher's slot to be free", func() bool {
		list, err := b.Topics(contextOf(t))
		if err != nil {
			t.Fatal(err)
		}
		return len(list) == 1 && list[0].Publishers == 2 && list[0].Subscribers == 2
	})
	if !b.Hosting() && !other.Hosting() {
		t.Error("nobody hosts")
	}
}

// TestHostLeaves: the same with a clean exit.
func TestHostLeaves(t *testing.T) {
	dir := bustest.Dir(t)
	first, second := bustest.Open(t, dir), bustest.Open(t, dir)
	if !first.Hosting() || second.Hosting() {
		t.Fatalf("hosting: first %t, second %t", first.Hosting(), second.Hosting())
	}
	p := openPublisher(t, first, "topic", bus.PublisherConfig{})
	q, s := pair(t, second, bus.PublisherConfig{}, bus.SubscriberConfig{})
	publish(t, p, "from the host")
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	publish(t, q, "from the heir")
	expect(t, s, "from the host")
	expect(t, s, "from the heir")
	bustest.Until(t, "the heir to host", second.Hosting)
	third := bustest.Open(t, dir)
	late := openSubscriber(t, third, "topic", bus.SubscriberConfig{Start: bus.Earliest()})
	expect(t, late, "from the host")
	expect(t, late, "from the heir")
}

func TestTopics(t *testing.T) {
	b := bustest.New(t)
	ctx := contextOf(t)
	p, s := pair(t, b, bus.PublisherConfig{Capacity: 8 << 10, Schema: 5}, bus.SubscriberConfig{})
	list, err := b.Topics(ctx)
	if err != nil || len(list) != 1 {
		t.Fatalf("topics: %+v, %v", list, err)
	}
	if i := list[0]; i.Name != "topic" || i.Capacity != 8<<10 || i.Schema != 5 || i.Publishers != 1 || i.Subscribers != 1 {
		t.Errorf("topic: %+v", i)
	}
	host, err := b.Host(ctx)
	if err != nil || host.Topics != 1 || host.Keep {
		t.Errorf("host: %+v, %v", host, err)
	}
	if err := b.Remove(ctx, "topic"); !errors.Is(err, bus.ErrTopicInUse) {
		t.Errorf("Remove of a topic in use: %v", err)
	}
	if err := b.Remove(ctx, "none"); !errors.Is(err, bus.ErrNoTopic) {
		t.Errorf("Remove of no topic: %v", err)
	}
	if p.Topic() != "topic" || s.Topic() != "topic" {
		t.Errorf("names %q and %q", p.Topic(), s.Topic())
	}
	if err := errors.Join(p.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	bustest.Until(t, "the topic to go", func() bool {
		list, err := b.Topics(ctx)
		if err != nil {
			t.Fatal(err)
		}
		return len(list) == 0
	})
}

func TestUnread(t *testing.T) {
	b := bustest.New(t)
	p := openPublisher(t, b, "topic", bus.PublisherConfig{})
	for i := range 3 {
		publish(t, p, strings.Repeat("x", i))
	}
	if n := p.Unread(); n != 3 {
		t.Errorf("%d unread, want 3", n)
	}
	openSubscriber(t, b, "topic", bus.SubscriberConfig{Start: bus.Earliest()})
	if n := p.Unread(); n != 0 {
		t.Errorf("%d unread with a subscriber, want 0", n)
	}
}

// TestEnvironment: the defaults of Open.
func TestEnvironment(t *testing.T) {
	dir := bustest.Dir(t)
	t.Setenv("SHMBUS_DIR", dir)
	t.Setenv("SHMBUS_BUS", "from-environment")
	ctx := contextOf(t)
	b, err := bus.Open(ctx, bus.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	same, err := bus.Open(ctx, bus.Config{Dir: dir, Name: "from-environment", NeverHost: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := same.Close(); err != nil {
		t.Error(err)
	}
	if _, err := bus.Open(ctx, bus.Config{Dir: dir, Name: "default", NeverHost: true}); !errors.Is(err, bus.ErrNoBus) {
		t.Errorf("opening another name: %v, want ErrNoBus", err)
	}
}
