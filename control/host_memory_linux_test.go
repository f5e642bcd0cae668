package control

import (
	"errors"
	"testing"

	"github.com/shmbus/shmbus/ring"
)

// hosts waits until a client hosts the bus.
func hosts(t *testing.T, c *Client) {
	t.Helper()
	eventually(t, func() error {
		if !c.Hosting() {
			return errors.New("the client does not host")
		}
		return nil
	})
}

// The topics that come back have more than the next host may give out. That is no
// reason to let nobody attach to them; no topic is made any more.
func TestTakeoverHasMemoryForSlots(t *testing.T) {
	root := busRoot(t)
	a, err := Dial(soon(t), Config{Dir: root, Host: HostConfig{MaxMemory: 30 << 20}})
	must(t, err)
	defer a.Close()
	b := dial(t, Config{Dir: root, Host: HostConfig{MaxMemory: 20 << 20}})
	publisher(t, b, PublisherRequest{Topic: "t", Capacity: 16 << 20})
	publisher(t, b, PublisherRequest{Topic: "u", Capacity: 8 << 20})
	must(t, a.Close())
	hosts(t, b)
	subscriber(t, b, SubscriberRequest{Topic: "t", Mode: ring.Reliable})
	publisher(t, b, PublisherRequest{Topic: "u"})
	refused(t, b, PublisherRequest{Topic: "v", Capacity: 1 << 20}, ErrNoMemory)
}

// Half of what was available before the topics were made is the limit, for whoever
// comes to it later.
func TestWhatComesBackRaisesAGuessedLimit(t *testing.T) {
	for most, raised := range map[uint64]uint64{0: 500, 7000: 0} {
		h := &host{memoryLimit: memoryLimitOf(most)}
		before := h.most
		adopted := &topic{bytes: 1000}
		h.topics = map[string]*topic{"t": adopted}
		h.countAdopted(adopted)
		if h.most != before+raised {
			t.Errorf("limit %d asked for: raised by %d, want %d", most, h.most-before, raised)
		}
		adopted.bytes += 4096 // a slot that is granted now counts
		h.most = 4096
		if err := h.roomForBlock(); !errors.Is(err, ErrNoMemory) {
			t.Errorf("a second block in 4096 bytes: %v, want ErrNoMemory", err)
		}
	}
}
