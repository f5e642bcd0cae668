//go:build linux

package bench

import (
	"time"

	"github.com/shmbus/shmbus/shm"
)

// desk is where the actors of one cell meet.
type desk struct {
	bytes  []byte
	actors int
}

func (d *desk) place(actor int) *place {
	return shm.Overlay[place](d.bytes, placeSize*(1+actor))
}

// reach stores our state and waits until all actors have come as far.
func (d *desk) reach(actor int, state uint64) {
	d.place(actor).state.Store(state) // sync(state): pairs with the loads of the others here
	for looks := 1; !d.all(state); looks++ {
		if looks%1000 == 0 { // others may need this very processor
			time.Sleep(min(time.Duration(looks/1000)*20*time.Microsecond, time.Millisecond))
		}
		shm.Pause(1)
	}
}

func (d *desk) all(state uint64) bool {
	for i := range d.actors {
		if d.place(i).state.Load() < state { // sync(state): pairs with reach
			return false
		}
	}
	return true
}
