package ring

import (
	"sync"
	"testing"
)

// TestCountsOfTheFirstPublisher: nobody ever sees that there were publishers
// and none is left while the first one is just coming: that would be a drained
// topic.
func TestCountsOfTheFirstPublisher(t *testing.T) {
	r := newHeapRoom(t, Options{})
	for range 300 {
		r.ring.log.publisherSlots.Store(0)
		r.ring.log.publishersEver.Store(0)
		var looking sync.WaitGroup
		looking.Go(func() {
			for {
				switch n := r.ring.Counts(); {
				case n.PublishersEver > 0 && n.Publishers == 0:
					t.Errorf("%+v while the first publisher comes", n)
					return
				case n.PublishersEver > 0:
					return
				}
			}
		})
		if err := r.host.AddPublisher(0, r.generation(), 1, ""); err != nil {
			t.Fatal(err)
		}
		looking.Wait()
	}
}
