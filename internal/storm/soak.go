package storm

import (
	"fmt"
	"os"
	"slices"
	"time"
)

// tell logs a line every interval while there is a duration to go on for, until
// the function that it returns is called.
func (a *arena) tell(interval time.Duration) (stop func()) {
	if a.config.Duration == 0 {
		return func() {}
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(interval)
		defer tick.Stop()
		began, last := time.Now(), Counts{}
		for {
			select {
			case <-done:
				return
			case now := <-tick.C:
				last = a.line(now.Sub(began), interval, last)
			}
		}
	}()
	return func() { close(done); <-ended }
}

// line logs what was done since the last one, and what keeper and controller hold.
func (a *arena) line(since, interval time.Duration, last Counts) Counts {
	a.mu.Lock()
	now, keeper, problems := a.counts, a.keeper.pid(), len(a.problems)
	a.mu.Unlock()
	k, err := UsageOf(keeper)
	own, ownErr := UsageOf(os.Getpid())
	if err != nil || ownErr != nil {
		return last // it is just ending
	}
	a.config.logf("%v arena %d: %.0f messages/s, %.0f deliveries/s, %d kills, %d hosts killed, %d stops, %d topics churned; keeper %v; controller %d descriptors, %d threads, %.1f MiB; %d violations",
		since.Round(time.Second), a.index, float64(now.Published-last.Published)/interval.Seconds(), float64(now.Delivered-last.Delivered)/interval.Seconds(),
		now.Kills-last.Kills, now.HostKills-last.HostKills, now.Stops-last.Stops, now.Turns-last.Turns, k, own.descriptors(), own.Threads, float64(own.Resident)/(1<<20), problems)
	return now
}

// flat notes a problem if what is held between rounds has grown since the first
// fifth of them. Descriptors, mappings and goroutines are the same after each
// round already, or it would have failed (leaks).
func (a *arena) flat() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.held) < 10 {
		a.config.logf("arena %d: %d rounds are too few to say whether memory and threads are flat", a.index, len(a.held))
		return
	}
	early, late := a.held[:len(a.held)/5], a.held[len(a.held)*4/5:]
	for _, c := range []struct {
		what string
		of   func(Held) uint64
		room uint64 // that a garbage collector and a scheduler need
	}{
		{"bytes of the keeper", func(h Held) uint64 { return h.Keeper.Resident }, 8 << 20},
		{"bytes of the host", func(h Held) uint64 { return h.Host.Resident }, 8 << 20},
		{"threads of the keeper", func(h Held) uint64 { return uint64(h.Keeper.Threads) }, 4},
		{"threads of the host", func(h Held) uint64 { return uint64(h.Host.Threads) }, 4},
	} {
		most := func(hs []Held) uint64 {
			return c.of(slices.MaxFunc(hs, func(x, y Held) int { return int(c.of(x)) - int(c.of(y)) }))
		}
		verdict := fmt.Sprintf("%s: at most %d in the first fifth, %d in the last", c.what, most(early), most(late))
		a.config.logf("arena %d: %s", a.index, verdict)
		if most(late) > most(early)+c.room {
			a.problem("not flat: %s", verdict)
		}
	}
}
