package control

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/shmbus/shmbus/ring"
	"github.com/shmbus/shmbus/shm"
)

// A topic whose ring contradicts itself is named and closed to newcomers,
// those in it are told, other topics go on, and it goes with its last
// participant.
func TestCorruptTopicIsQuarantined(t *testing.T) {
	for name, spoil := range map[string]func(log []byte, g *Grant){
		"lock of nobody": func(log []byte, _ *Grant) { shm.Overlay[shm.Word32](log, 0x300).Store(77<<8 | 5) },
		"tail":           func(log []byte, _ *Grant) { shm.Overlay[shm.Word64](log, 0x380).Store(1 << 50) },
		"record": func(log []byte, g *Grant) {
			off, _ := g.Ring.Geometry().DataRange()
			shm.Overlay[shm.Word64](log, int(off)).Store(^uint64(0))
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, Config{Dir: busRoot(t)})
			p := publisher(t, c, PublisherRequest{Topic: "t"})
			s := subscriber(t, c, SubscriberRequest{Topic: "t"})
			q := publisher(t, c, PublisherRequest{Topic: "u"})
			r := newReader(t, subscriber(t, c, SubscriberRequest{Topic: "u"}), ring.Reliable)
			if err := publish(p, "whole"); err != nil {
				t.Fatal(err)
			}
			c.host.mu.Lock()
			log := c.host.topics["t"].regions.log.bytes()
			c.host.mu.Unlock()
			spoil(log, p)
			eventually(t, func() error {
				i := counts(t, c, "t", 1, 1)
				if !strings.Contains(i.Corrupt, "log region, offset 0x") {
					return fmt.Errorf("%+v", i)
				}
				return nil
			})
			if err := publish(p, "more"); !errors.Is(err, ring.ErrCorrupt) {
				t.Errorf("publish: %v", err)
			}
			if _, err := c.Publisher(soon(t), PublisherRequest{Topic: "t"}); !errors.Is(err, ring.ErrCorrupt) || !strings.Contains(err.Error(), "quarantine") {
				t.Errorf("a new publisher: %v", err)
			}
			if _, err := c.Subscriber(soon(t), SubscriberRequest{Topic: "t"}); !errors.Is(err, ring.ErrCorrupt) {
				t.Errorf("a new subscriber: %v", err)
			}
			if i := counts(t, c, "u", 1, 1); i.Corrupt != "" {
				t.Errorf("another topic: %+v", i)
			}
			if err := publish(q, "elsewhere"); err != nil {
				t.Fatal(err)
			}
			r.expect(t, "elsewhere")
			if err := errors.Join(p.Release(), s.Release()); err != nil {
				t.Fatal(err)
			}
			again := publisher(t, c, PublisherRequest{Topic: "t"})
			if !again.CreatedTopic {
				t.Error("the corrupt topic is still there")
			}
		})
	}
}

// A death that cannot be repaired puts the topic into quarantine at once, and
// the slot of the dead is in nobody's way.
func TestUnrepairableTopicIsQuarantined(t *testing.T) {
	root := busRoot(t)
	c := dial(t, Config{Dir: root, Host: HostConfig{Keep: true}})
	p := publisher(t, c, PublisherRequest{Topic: "t"})
	victim, _ := participant(t, root, "claim", "t", "victim")
	c.host.mu.Lock()
	log := c.host.topics["t"].regions.log.bytes()
	c.host.mu.Unlock()
	off, _ := p.Ring.Geometry().DataRange()
	shm.Overlay[shm.Word64](log, int(off)).Store(^uint64(0)) // its claim, the first record
	victim.killAndReap()
	eventually(t, func() error {
		if i := counts(t, c, "t", 1, 0); i.Corrupt == "" || len(i.Quarantined) > 0 {
			return fmt.Errorf("%+v", i)
		}
		return nil
	})
	if err := p.Release(); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		err := c.Remove(soon(t), "t")
		if errors.Is(err, ErrTopicInUse) {
			return err // the slot of the dead is freed after the topic is named
		}
		if err != nil {
			t.Errorf("remove it: %v", err)
		}
		return nil
	})
}

// A topic that the host looks at goes with its last slot all the same, name, memory
// and all; only its mapping stays until the host has looked.
func TestLooksHoldNoTopic(t *testing.T) {
	for name, keep := range map[string]bool{"with its last slot": false, "when it is removed": true} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, Config{Dir: busRoot(t), Host: HostConfig{Keep: keep}})
			publisher(t, c, PublisherRequest{Topic: "t"})
			h := c.host
			looks := append(h.look(), h.look()...) // of both who look
			if len(looks) != 2 {
				t.Fatalf("%d looks at one topic", len(looks))
			}
			topic := looks[0]
			h.dropAll(func(d *holder) bool { return d.topic == topic })
			if keep {
				if i := h.info(); i.Topics != 1 || i.Memory == 0 {
					t.Errorf("it is not kept: %+v", i)
				}
				must(t, h.remove("t"))
			}
			if i := h.info(); i.Topics != 0 || i.Memory != 0 || len(h.list()) != 0 {
				t.Errorf("it is still there: %+v", i)
			}
			again := publisher(t, c, PublisherRequest{Topic: "t"})
			if !again.CreatedTopic {
				t.Error("its name is still taken")
			}
			mapped := mappings(t)
			h.looked(topic)
			if n := mappings(t); n != mapped {
				t.Errorf("%d mappings while it is looked at, %d before", n, mapped)
			}
			h.looked(topic)
			eventually(t, func() error { // the host may be looking as well
				if n := mappings(t); n != mapped-2 {
					return fmt.Errorf("%d mappings, %d before, with log and cursors of a topic that has gone", n, mapped)
				}
				return nil
			})
		})
	}
}
