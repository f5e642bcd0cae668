package ring

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/shmbus/shmbus/shm"
)

const parkWatchdog = 30 * time.Second

// asleep returns how many callers sleep in pk, in either way.
func (pk *Parker) asleep() int {
	pk.mu.Lock()
	defer pk.mu.Unlock()
	n := 0
	if pk.direct {
		n++
	}
	for _, g := range pk.groups {
		n += len(g.waiters)
	}
	return n
}

// parkUntil polls a condition and fails the test when it does not come true.
func parkUntil(t *testing.T, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(parkWatchdog)
	for !ok() {
		if time.Now().After(end) {
			t.Fatalf("still waiting for: %s", what)
		}
		runtime.Gosched()
	}
}

// sleeper is one Wait in a goroutine of its own.
type sleeper struct {
	word, cancel shm.Word32
	ready        atomic.Bool
	stop         context.CancelFunc
	result       chan error
}

func goSleep(pk *Parker) *sleeper {
	s := &sleeper{result: make(chan error, 1)}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	w := &Waiter{
		Words:  []shm.Wait{{Word: &s.word, Value: s.word.Load()}},
		Ready:  s.ready.Load,
		Cancel: &s.cancel,
	}
	go func() { s.result <- pk.Wait(ctx, w) }()
	return s
}

func (s *sleeper) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-s.result:
		s.stop()
		return err
	case <-time.After(parkWatchdog):
		t.Fatal("the sleeper was not woken")
		return nil
	}
}

func (s *sleeper) wake() {
	s.word.Add(1)
	shm.FutexWake(&s.word, 1)
}

func TestParkerEveryWayToWake(t *testing.T) {
	ways := []struct {
		name string
		wake func(pk *Parker, s *sleeper)
		want error
	}{
		{"word", func(_ *Parker, s *sleeper) { s.wake() }, nil},
		{"word without wake-up", func(_ *Parker, s *sleeper) { s.word.Add(1) }, nil},
		{"ready without wake-up", func(_ *Parker, s *sleeper) { s.ready.Store(true) }, nil},
		{"context", func(_ *Parker, s *sleeper) { s.stop() }, context.Canceled},
		{"interrupt", func(pk *Parker, s *sleeper) { pk.Interrupt(&s.cancel) }, ErrClosed},
		{"close", func(pk *Parker, _ *sleeper) { pk.Close() }, ErrClosed},
	}
	for _, way := range ways {
		for _, place := range []string{"direct", "parked", "parked with others"} {
			t.Run(way.name+"/"+place, func(t *testing.T) {
				pk := NewParker()
				defer pk.Close()
				var others []*sleeper
				if place != "direct" {
					others = append(others, goSleep(pk))
					parkUntil(t, "the direct sleeper", func() bool { return pk.asleep() == 1 })
				}
				if place == "parked with others" {
					for range 5 {
						others = append(others, goSleep(pk))
					}
				}
				parkUntil(t, "the others asleep", func() bool { return pk.asleep() == len(others) })
				s := goSleep(pk)
				parkUntil(t, "all asleep", func() bool { return pk.asleep() == len(others)+1 })
				way.wake(pk, s)
				if err := s.wait(t); !errors.Is(err, way.want) || (err == nil) != (way.want == nil) {
					t.Errorf("Wait returned %v, want %v", err, way.want)
				}
				for _, o := range others {
					pk.Interrupt(&o.cancel)
					if err := o.wait(t); !errors.Is(err, ErrClosed) {
						t.Errorf("another sleeper returned %v, want %v", err, ErrClosed)
					}
				}
			})
		}
	}
}

func TestParkerDoesNotSleepForWhatIsOver(t *testing.T) {
	pk := NewParker()
	defer pk.Close()
	var word, set shm.Word32
	set.Store(1)
	done, cancel := context.WithCancel(context.Background())
	cancel()
	for _, c := range []struct {
		name string
		ctx  context.Context
		w    Waiter
		want error
	}{
		{"word differs", context.Background(), Waiter{Words: []shm.Wait{{Word: &set}}}, nil},
		{"ready", context.Background(), Waiter{Ready: func() bool { return true }}, nil},
		{"cancelled word", context.Background(), Waiter{Words: []shm.Wait{{Word: &word}}, Cancel: &set}, ErrClosed},
		{"context over", done, Waiter{Words: []shm.Wait{{Word: &word}}}, context.Canceled},
		{"word differs and context over", done, Waiter{Words: []shm.Wait{{Word: &set}}}, nil},
	} {
		if err := pk.Wait(c.ctx, &c.w); !errors.Is(err, c.want) || (err == nil) != (c.want == nil) {
			t.Errorf("%s: Wait returned %v, want %v", c.name, err, c.want)
		}
	}
}

// TestParkerMoreThanOneGroup needs three futex_waitv calls' worth of words.
func TestParkerMoreThanOneGroup(t *testing.T) {
	pk := NewParker()
	defer pk.Close()
	sleepers := make([]*sleeper, 2*maxGroupWords+10)
	for i := range sleepers {
		sleepers[i] = goSleep(pk)
	}
	parkUntil(t, "all asleep", func() bool { return pk.asleep() == len(sleepers) })
	rand.Shuffle(len(sleepers), func(i, j int) { sleepers[i], sleepers[j] = sleepers[j], sleepers[i] })
	for _, s := range sleepers {
		s.wake()
		if err := s.wait(t); err != nil {
			t.Fatalf("Wait returned %v", err)
		}
	}
	parkUntil(t, "groups to end", func() bool {
		pk.mu.Lock()
		defer pk.mu.Unlock()
		return len(pk.groups) == 0
	})
}

// TestParkerThreads: sleepers must not cost a thread each.
func TestParkerThreads(t *testing.T) {
	if !shm.HaveWaitMany() {
		t.Skip("futex_waitv is missing")
	}
	before := threads(t)
	pk := NewParker()
	defer pk.Close()
	sleepers := make([]*sleeper, 64)
	for i := range sleepers {
		sleepers[i] = goSleep(pk)
	}
	parkUntil(t, "all asleep", func() bool { return pk.asleep() == len(sleepers) })
	// A thread per sleeper would show at once: each would be in its futex call.
	if n := threads(t); n-before > 10 {
		t.Errorf("64 sleepers: %d threads, %d before", n, before)
	}
}

func threads(t *testing.T) int {
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Skip(err)
	}
	return len(entries)
}

// TestParkerLeavesWordsAlone unmaps each word as soon as its Wait returned,
// while others of the same group go on sleeping: a late look at it would
// fault.
func TestParkerLeavesWordsAlone(t *testing.T) {
	pk := NewParker()
	defer pk.Close()
	anchor, second := goSleep(pk), goSleep(pk)
	parkUntil(t, "anchors asleep", func() bool { return pk.asleep() == 2 })

	var work sync.WaitGroup
	for range 4 {
		work.Go(func() {
			for range 50 {
				waitAndUnmap(t, pk)
			}
		})
	}
	work.Wait()
	anchor.wake()
	second.wake()
	if err := errors.Join(anchor.wait(t), second.wait(t)); err != nil {
		t.Error(err)
	}
}

func waitAndUnmap(t *testing.T, pk *Parker) {
	r, err := shm.Create("parker-test", int64(os.Getpagesize()))
	if err != nil {
		t.Error(err)
		return
	}
	defer r.Close()
	m, err := r.Map(true)
	if err != nil {
		t.Error(err)
		return
	}
	word := shm.Overlay[shm.Word32](m.Bytes(), 0)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var own sync.WaitGroup
	byWord := rand.IntN(2) == 0
	own.Go(func() {
		runtime.Gosched()
		if byWord {
			word.Add(1)
			shm.FutexWake(word, 1)
		} else {
			cancel()
		}
	})
	err = pk.Wait(ctx, &Waiter{Words: []shm.Wait{{Word: word}}})
	if byWord && err != nil || !byWord && !errors.Is(err, context.Canceled) {
		t.Errorf("by word %v: Wait returned %v", byWord, err)
	}
	own.Wait()
	if err := m.Unmap(); err != nil {
		t.Error(err)
	}
}

// TestParkerStorm wakes, cancels and interrupts sleepers at random; each must
// return exactly once and with a result that fits.
func TestParkerStorm(t *testing.T) {
	pk := NewParker()
	var work sync.WaitGroup
	for range 8 {
		work.Go(func() {
			for range 300 {
				s := goSleep(pk)
				want := error(nil)
				switch rand.IntN(4) {
				case 0:
					s.wake()
				case 1:
					s.stop()
					want = context.Canceled
				case 2:
					pk.Interrupt(&s.cancel)
					want = ErrClosed
				case 3:
					s.ready.Store(true)
					s.wake()
				}
				// A wake-up before Wait read the word is a word that differs.
				select {
				case err := <-s.result:
					if !errors.Is(err, want) {
						t.Errorf("got %v, want %v", err, want)
					}
				case <-time.After(parkWatchdog):
					t.Error("a sleeper was not woken")
					return
				}
				s.stop()
			}
		})
	}
	work.Wait()
	pk.Close()
	pk.Close()
	if n := pk.asleep(); n != 0 {
		t.Errorf("%d still asleep", n)
	}
	if err := pk.Wait(context.Background(), &Waiter{}); !errors.Is(err, ErrClosed) {
		t.Errorf("Wait on a closed parker returned %v", err)
	}
}
