package shm

import (
	"math"
	"runtime"
	"sync"
	"testing"
	"time"
)

func TestMembarrier(t *testing.T) {
	if !HaveMembarrier() {
		t.Log("not available: every call has to say so")
		for name, f := range map[string]func() error{"RegisterMembarrier": RegisterMembarrier, "Membarrier": Membarrier} {
			t.Run(name, func(t *testing.T) { wantError(t, f(), ErrNoMembarrier) })
		}
		return
	}
	if err := Membarrier(); err != nil {
		t.Errorf("before registration: %v", err)
	}
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 2 {
				if err := RegisterMembarrier(); err != nil {
					t.Errorf("RegisterMembarrier: %v", err)
				}
				if err := Membarrier(); err != nil {
					t.Errorf("Membarrier: %v", err)
				}
				if err := MembarrierProcess(); err != nil {
					t.Errorf("MembarrierProcess: %v", err)
				}
			}
		})
	}
	group.Wait()
}

// What a kernel refuses has to be ErrNoMembarrier too: callers then use fences.
func TestMembarrierRefusedByKernel(t *testing.T) {
	wantError(t, membarrier(1<<30, "nonsense"), ErrNoMembarrier, "0x40000000", "invalid argument")
}

// membarrier replaces the store→load fence of the hot side. Each round the hot side stores x and loads y, the rare
// side stores y, calls Membarrier and loads x: at least one of them has to see the other's store.
func TestMembarrierOrdersStoreBeforeLoad(t *testing.T) {
	if err := RegisterMembarrier(); err != nil {
		t.Skip(err)
	}
	hangGuard(t)
	const rounds = 20_000 // fewer where two threads seldom run at a time
	end := time.Now().Add(hangLimit / 3)
	b := AlignedBytes(4096)
	x, y := Overlay[Word32](b, 0), Overlay[Word32](b, 128)
	begun, done := Overlay[Word32](b, 256), Overlay[Word32](b, 384)
	var seenByHot [rounds + 1]uint32
	go func() {
		for i := uint32(1); i <= rounds; i++ {
			awaitAtLeast(begun, i)
			if begun.Load() == math.MaxUint32 { // sync(membarrier-round): the rare side is through
				return
			}
			x.Store(i)              // sync(membarrier-x): pairs with the rare side's load
			seenByHot[i] = y.Load() // sync(membarrier-y): pairs with the rare side's store
			done.Store(i)           // sync(membarrier-round): pairs with awaitAtLeast
		}
	}()
	defer begun.Store(math.MaxUint32) // sync(membarrier-round): pairs with the hot side's loads
	for i := uint32(1); i <= rounds && (i < 100 || time.Now().Before(end)); i++ {
		begun.Store(i) // sync(membarrier-round): pairs with awaitAtLeast
		y.Store(i)     // sync(membarrier-y): pairs with the hot side's load
		if err := Membarrier(); err != nil {
			t.Fatal(err)
		}
		seenByRare := x.Load() // sync(membarrier-x): pairs with the hot side's store
		awaitAtLeast(done, i)
		if seenByRare < i && seenByHot[i] < i {
			t.Fatalf("round %d: neither side saw the other's store (x %d, y %d)", i, seenByRare, seenByHot[i])
		}
	}
}

// awaitAtLeast spins until the word has reached v.
func awaitAtLeast(w *Word32, v uint32) {
	for n := 0; w.Load() < v; n++ { // sync(membarrier-round): pairs with the stores to begun and done
		if n%128 == 127 {
			runtime.Gosched()
		}
	}
}
