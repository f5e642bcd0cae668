package bus

import (
	"sync"
	"sync/atomic"
	"testing"

	"github.com/shmbus/shmbus/shm"
)

// TestGuardStorm: a closer never finds the guard idle while the owner is
// inside and thinks it open. The heap stands for the mapping, so the race
// detector sees a mistake too.
func TestGuardStorm(t *testing.T) {
	for _, strong := range []bool{false, true} {
		if !strong && shm.MembarrierProcess() != nil {
			continue // guards are strong here
		}
		for round := range 3000 {
			g := &guard{}
			g.arm(strong)
			mapped := make([]byte, 8)
			var unmaps atomic.Int32
			var mu sync.Mutex
			unmap := func() {
				mu.Lock()
				defer mu.Unlock()
				if g.state.Load() == idle && unmaps.Load() == 0 {
					unmaps.Add(1)
					mapped[0] = 1 // whoever reads it now would fault
				}
			}
			var work sync.WaitGroup
			work.Go(func() {
				for n := 0; ; n++ {
					open := g.enter(inside)
					if open && mapped[0] != 0 {
						t.Error("used after unmapping")
					}
					if g.out(idle) {
						unmap()
					}
					if !open {
						return
					}
				}
			})
			for range round % 100 {
				_ = g.state.Load()
			}
			for range 2 {
				work.Go(func() {
					if g.shut() {
						unmap()
					}
				})
			}
			work.Wait()
			if n := unmaps.Load(); n != 1 {
				t.Fatalf("unmapped %d times, want once", n)
			}
		}
	}
}

func TestTranslate(t *testing.T) {
	for _, s := range sentinels {
		for _, c := range s.causes {
			if got := translate(c); got != error(s) {
				t.Errorf("%v became %v, want %v", c, got, s)
			}
			if !s.Is(c) {
				t.Errorf("%v is not %v", s, c)
			}
		}
	}
	if translate(nil) != nil {
		t.Error("nil became an error")
	}
}
