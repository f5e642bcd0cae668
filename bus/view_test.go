package bus_test

import (
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/shmbus/shmbus/bus"
	"github.com/shmbus/shmbus/bustest"
)

// TestViewOutlivesItsSubscriber: who kept nothing but the payload reads on after
// the subscriber was collected: not necessarily the message, since publishers do
// not wait for it any more, but memory that is there. Without a view out, or
// with a copy, nothing stays mapped.
func TestViewOutlivesItsSubscriber(t *testing.T) {
	for topic, c := range map[string]struct {
		config bus.SubscriberConfig
		call   bool // once more, without a message
		stays  bool
	}{
		"reliableview": {bus.SubscriberConfig{}, false, true},
		"reliableidle": {bus.SubscriberConfig{}, true, false},
		"lossyview":    {bus.SubscriberConfig{Mode: bus.Lossy}, false, false},
	} {
		t.Run(topic, func(t *testing.T) {
			b := bustest.New(t)
			p := openPublisher(t, b, topic, small)
			view := func() []byte {
				s, err := b.Subscriber(contextOf(t), topic, c.config)
				if err != nil {
					t.Fatal(err)
				}
				publish(t, p, "hello")
				view := next(t, s).Payload
				if c.call {
					if _, err := s.Poll(func(bus.Message, bool) error { return nil }, 1); err != nil {
						t.Error(err)
					}
				}
				return view
			}()
			bustest.Until(t, "the subscriber to be collected", func() bool {
				runtime.GC()
				topics, err := b.Topics(contextOf(t))
				if err != nil {
					t.Fatal(err)
				}
				return topics[0].Subscribers == 0
			})
			for range 500 { // it holds nobody back
				publish(t, p, "goes on")
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
			if err := b.Close(); err != nil { // waits for what the collection began
				t.Error(err)
			}
			if mapped(t, topic) != c.stays {
				t.Fatalf("mapped is %t, want %t", !c.stays, c.stays)
			}
			if c.stays || c.config.Mode == bus.Lossy {
				defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
				sum := 0
				for _, x := range view {
					sum += int(x)
				}
				if len(view) != 5 || sum == 0 {
					t.Errorf("the view shows %q", view)
				}
			}
		})
	}
}
