package shm

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// long is a wait that a working test never sits out; short one that it does.
const (
	long  = 30 * time.Second
	short = 3 * time.Millisecond
)

// later runs a wait in a goroutine of its own.
func later(wait func() error) <-chan error {
	result := make(chan error, 1)
	go func() { result <- wait() }()
	return result
}

// wakeOne wakes until somebody slept on the word and was woken.
func wakeOne(wake func(*Word32, int) int, w *Word32) {
	for wake(w, 1) == 0 {
		runtime.Gosched()
	}
}

func wantNil(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: got %v, want nil", what, err)
	}
}

func TestFutexWaitComparesFirst(t *testing.T) {
	hangGuard(t)
	var w Word32
	w.Store(5)
	for _, d := range []time.Duration{-1, 0, 1, long, math.MaxInt64} {
		wantNil(t, d.String(), FutexWait(&w, 4, d))
	}
	for _, d := range []time.Duration{math.MinInt64, -1, 0, 1, short} {
		if err := FutexWait(&w, 5, d); err != ErrTimeout {
			t.Errorf("%v: got %v, want ErrTimeout itself", d, err)
		}
	}
}

func TestFutexWaitLastsAsLongAsAsked(t *testing.T) {
	hangGuard(t)
	var w Word32
	begin := Now()
	if err := FutexWait(&w, 0, short); err != ErrTimeout {
		t.Fatalf("got %v, want ErrTimeout", err)
	}
	if passed := time.Duration(Now() - begin); passed < short {
		t.Errorf("returned after %v, want at least %v", passed, short)
	}
}

func TestFutexWake(t *testing.T) {
	hangGuard(t)
	var w Word32
	for _, n := range []int{1, math.MaxInt, 0, -1} {
		if got := FutexWake(&w, n); got != 0 {
			t.Errorf("woke %d of nobody", got)
		}
	}
	const sleepers = 3
	var results []<-chan error
	for range sleepers {
		results = append(results, later(func() error { return FutexWait(&w, 0, long) }))
	}
	wakeOne(FutexWake, &w)
	for woken := 1; woken < sleepers; {
		woken += FutexWake(&w, math.MaxInt)
		runtime.Gosched()
	}
	for _, r := range results {
		wantNil(t, "woken", <-r)
	}
}

func TestFutexOfUnmappedMemory(t *testing.T) {
	m, err := sealedRegion(t, page).Map(true)
	if err != nil {
		t.Fatal(err)
	}
	w := Overlay[Word32](m.Bytes(), 0)
	if err := m.Unmap(); err != nil {
		t.Fatal(err)
	}
	wantError(t, FutexWait(w, 0, short), unix.EFAULT, "futex wait")
	if HaveWaitMany() {
		var other Word32
		wantError(t, FutexWaitMany([]Wait{{Word: &other}, {Word: w}}, short), unix.EFAULT, "futex_waitv")
	}
}

func TestPrivateAndSharedWaitsAreApart(t *testing.T) {
	hangGuard(t)
	var w, other Word32
	waits := map[string]func(private bool) error{
		"one": func(private bool) error { return FutexWaitMany([]Wait{{&w, 0, private}}, long) },
	}
	if HaveWaitMany() {
		waits["two"] = func(private bool) error { return FutexWaitMany([]Wait{{&other, 0, false}, {&w, 0, private}}, long) }
	}
	for name, wait := range waits {
		t.Run(name, func(t *testing.T) {
			private := later(func() error { return wait(true) })
			wakeOne(func(w *Word32, n int) int {
				if FutexWake(w, n) != 0 {
					t.Error("a shared wake ended a private wait")
					return 1
				}
				return FutexWakePrivate(w, n)
			}, &w)
			wantNil(t, "private", <-private)
			shared := later(func() error { return wait(false) })
			wakeOne(func(w *Word32, n int) int {
				if FutexWakePrivate(w, n) != 0 {
					t.Error("a private wake ended a shared wait")
					return 1
				}
				return FutexWake(w, n)
			}, &w)
			wantNil(t, "shared", <-shared)
		})
	}
}

// A sleeper may be one that cannot write the word: a wait on a read-only mapping, woken through a writable one.
func TestFutexWaitOnReadOnlyMapping(t *testing.T) {
	hangGuard(t)
	r := sealedRegion(t, page)
	w := Overlay[Word32](mapped(t, r, true).Bytes(), 64)
	ro := Overlay[Word32](mapped(t, reopened(t, r, false), false).Bytes(), 64)
	var cancel Word32

	result := later(func() error { return FutexWait(ro, 0, long) })
	wakeOne(FutexWake, w)
	wantNil(t, "FutexWait", <-result)

	result = later(func() error { return FutexWaitMany([]Wait{{Word: ro}, {Word: &cancel, Private: true}}, long) })
	if HaveWaitMany() {
		wakeOne(FutexWake, w)
	}
	wantNil(t, "FutexWaitMany", <-result)
	if err := FutexWait(ro, 0, short); err != ErrTimeout {
		t.Errorf("got %v, want ErrTimeout", err)
	}
}

func TestFutexChild(t *testing.T) {
	onlyAsChild(t)
	r, err := FromFile(os.NewFile(childFile, "inherited"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if err := r.Check(page); err != nil {
		t.Fatal(err)
	}
	w := Overlay[Word32](mapped(t, r, false).Bytes(), 0)
	for seen := uint32(0); seen < 3; seen = w.Load() { // sync(futex-test): pairs with the parent's Add
		if err := FutexWait(w, seen, long); err != nil {
			t.Fatal(err)
		}
	}
	fmt.Fprintf(os.Stdout, "\nsaw %d\n", w.Load())
}

func TestFutexBetweenProcesses(t *testing.T) {
	hangGuard(t)
	r := sealedRegion(t, page)
	w := Overlay[Word32](mapped(t, r, true).Bytes(), 0)
	child := startChild(t, "TestFutexChild", reopened(t, r, false).File())
	for range 3 {
		wakeOne(FutexWake, w) // asleep now, or on its way to look again
		w.Add(1)              // sync(futex-test): pairs with the child's load
		FutexWake(w, math.MaxInt)
	}
	if got := child.expect("saw "); got != "3" {
		t.Errorf("the child saw %s, want 3", got)
	}
	child.succeed()
}

// Signals, of which the Go scheduler sends many, must neither end a wait nor prolong it.
func TestFutexWaitGoesOnAfterSignals(t *testing.T) {
	notEmulated(t, "an emulator delivers signals between its own calls, not into the futex call")
	hangGuard(t)
	var w, other Word32
	waits := map[string]func(time.Duration) error{
		"FutexWait": func(d time.Duration) error { return FutexWait(&w, 0, d) },
	}
	if HaveWaitMany() {
		waits["FutexWaitMany"] = func(d time.Duration) error { return FutexWaitMany([]Wait{{Word: &w}, {Word: &other}}, d) }
	}
	for name, wait := range waits {
		t.Run(name, func(t *testing.T) {
			thread := make(chan int, 1)
			result := later(func() error {
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				thread <- unix.Gettid()
				return wait(long)
			})
			id := <-thread
			awaitInFutex(id)
			for range 3 {
				slept := timesSlept(t, id)
				for timesSlept(t, id) == slept { // the handler ran and the thread went to sleep again
					if err := unix.Tgkill(unix.Getpid(), id, unix.SIGURG); err != nil {
						t.Fatal(err)
					}
					runtime.Gosched()
				}
			}
			select {
			case err := <-result:
				t.Fatalf("signals ended the wait: %v", err)
			default:
			}
			wakeOne(FutexWake, &w)
			wantNil(t, "woken", <-result)
		})
	}
}

// awaitInFutex polls until the thread sleeps in a futex call. Where the kernel does not tell, it returns at once.
func awaitInFutex(thread int) {
	for {
		call, err := os.ReadFile(taskFile(thread, "syscall"))
		if err != nil {
			return
		}
		number, _, _ := strings.Cut(string(call), " ")
		if number == strconv.Itoa(unix.SYS_FUTEX) || number == strconv.Itoa(unix.SYS_FUTEX_WAITV) {
			return
		}
		runtime.Gosched()
	}
}

// timesSlept counts how often the thread has gone to sleep.
func timesSlept(t *testing.T, thread int) string {
	t.Helper()
	status, err := os.ReadFile(taskFile(thread, "status"))
	if err != nil {
		t.Skip(err)
	}
	_, rest, _ := strings.Cut(string(status), "\nvoluntary_ctxt_switches:")
	count, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(count)
}

// sleeps counts how often the thread went to sleep while it ran f.
func sleeps(t *testing.T, f func()) int64 {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, after unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &before); err != nil {
		t.Fatal(err)
	}
	f()
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &after); err != nil {
		t.Fatal(err)
	}
	return int64(after.Nvcsw - before.Nvcsw)
}

func taskFile(thread int, name string) string {
	return filepath.Join("/proc/self/task", strconv.Itoa(thread), name)
}

func waitsOf(n int) ([]Word32, []Wait) {
	words, waits := make([]Word32, n), make([]Wait, n)
	for i := range words {
		waits[i] = Wait{Word: &words[i], Private: i%2 == 1}
	}
	return words, waits
}

func TestFutexWaitManyRefuses(t *testing.T) {
	_, waits := waitsOf(MaxWaits + 1)
	wantError(t, FutexWaitMany(nil, short), ErrArgument, "got 0 words")
	wantError(t, FutexWaitMany(waits, short), ErrArgument, "got 129 words", "1 to 128")
}

func TestFutexWaitManyComparesFirst(t *testing.T) {
	hangGuard(t)
	for _, n := range []int{1, 2, 3, MaxWaits} {
		words, waits := waitsOf(n)
		for _, d := range []time.Duration{math.MinInt64, -1, 0, 1} {
			if err := FutexWaitMany(waits, d); err != ErrTimeout {
				t.Errorf("%d words, %v: got %v, want ErrTimeout itself", n, d, err)
			}
		}
		for _, i := range []int{0, n / 2, n - 1} {
			words[i].Store(1)
			for _, d := range []time.Duration{-1, 0, 1, long, math.MaxInt64} {
				wantNil(t, fmt.Sprintf("%d words, word %d differs, %v", n, i, d), FutexWaitMany(waits, d))
			}
			words[i].Store(0)
		}
	}
}

func TestFutexWaitManyTimesOut(t *testing.T) {
	hangGuard(t)
	if !HaveWaitMany() {
		t.Skip("no futex_waitv; see TestWithoutWaitMany")
	}
	_, waits := waitsOf(3)
	begin := Now()
	if err := FutexWaitMany(waits, short); err != ErrTimeout {
		t.Fatalf("got %v, want ErrTimeout", err)
	}
	if passed := time.Duration(Now() - begin); passed < short {
		t.Errorf("returned after %v, want at least %v", passed, short)
	}
}

func TestFutexWaitManyIsWokenByEachWord(t *testing.T) {
	hangGuard(t)
	if !HaveWaitMany() {
		t.Skip("no futex_waitv; see TestWithoutWaitMany")
	}
	words, waits := waitsOf(MaxWaits)
	for _, i := range []int{0, 1, 2, MaxWaits - 2, MaxWaits - 1} {
		result := later(func() error { return FutexWaitMany(waits, long) })
		wake := FutexWake
		if waits[i].Private {
			wake = FutexWakePrivate
		}
		wakeOne(wake, &words[i])
		wantNil(t, fmt.Sprintf("word %d", i), <-result)
	}
}

// The fallback, tested directly; failpoint tests run the whole package without futex_waitv.
func TestWaitFirst(t *testing.T) {
	hangGuard(t)
	words, waits := waitsOf(3)
	if err := waitFirst(waits, time.Millisecond); err != ErrTimeout {
		t.Errorf("less than a slice: got %v, want ErrTimeout", err)
	}
	wantNil(t, "more than a slice", waitFirst(waits, 2*hangLimit))
	words[2].Store(1)
	const calls = 100
	if slept := sleeps(t, func() {
		for range calls {
			wantNil(t, "the last word differs", waitFirst(waits, long))
		}
	}); slept >= calls {
		t.Errorf("slept %d times in %d calls although a word differed", slept, calls)
	}
	words[2].Store(0)
	result := later(func() error {
		for words[1].Load() == 0 { // sync(futex-test-fallback): pairs with the store below
			if err := waitFirst(waits, long); err != nil {
				return err
			}
		}
		return nil
	})
	wakeOne(FutexWake, &words[0])
	words[1].Store(1) // sync(futex-test-fallback): pairs with the load above
	wantNil(t, "the second word changed without a wake", <-result)
}

func TestFutexAllocatesNothing(t *testing.T) {
	_, waits := waitsOf(3)
	n := testing.AllocsPerRun(50, func() {
		_ = FutexWait(waits[0].Word, 0, 1)
		_ = FutexWaitMany(waits, 1)
		FutexWake(waits[0].Word, 1)
	})
	if n != 0 {
		t.Errorf("got %v allocations, want none", n)
	}
}
