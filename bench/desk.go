//go:build linux

package bench

import (
	"time"

	"golang.org/x/sys/unix"

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

// meter reads what the process has used.
type meter struct {
	cpu, switches int64
}

func readMeter() meter {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return meter{}
	}
	return meter{cpu: unix.TimevalToNsec(u.Utime) + unix.TimevalToNsec(u.Stime), switches: u.Nvcsw + u.Nivcsw}
}

// settle writes what was used since m. waited is processor time that was not
// the mechanism's: waiting for the time to publish.
func (p *place) settle(m meter, waited int64) {
	now := readMeter()
	p.cpu.Store(uint64(max(now.cpu-m.cpu-waited, 0)))
	p.switches.Store(uint64(now.switches - m.switches))
}
