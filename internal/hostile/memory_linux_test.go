package hostile

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/shmbus/shmbus/bustest"
	"github.com/shmbus/shmbus/control"
	"github.com/shmbus/shmbus/shm"
)

// TestTruncate: nobody takes memory away under a reader, or makes a program of
// it: the seals hold against whoever has a descriptor, root included.
func TestTruncate(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	for _, region := range []string{logRegion, cursorRegion} {
		f := steal(t, s.host.pid(), region)
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		fd := int(f.Fd())
		path := fmt.Sprintf("/proc/self/fd/%d", fd)
		for what, try := range map[string]func() error{
			"shrink to nothing":    func() error { return unix.Ftruncate(fd, 0) },
			"shrink by a page":     func() error { return unix.Ftruncate(fd, info.Size()-4096) },
			"grow":                 func() error { return unix.Ftruncate(fd, info.Size()+4096) },
			"allocate behind":      func() error { return unix.Fallocate(fd, 0, info.Size(), 4096) },
			"open with O_TRUNC":    func() error { f, err := os.OpenFile(path, os.O_RDWR|os.O_TRUNC, 0); f.Close(); return err },
			"make it executable":   func() error { return unix.Fchmod(fd, 0o700) },
			"forbid writing":       func() error { _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_WRITE); return err },
			"forbid other mappers": func() error { _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, 0x10); return err },
		} {
			err := try()
			if what == "make it executable" && err == nil && !sealedAgainstExecution(f) {
				continue // an older kernel
			}
			if !errors.Is(err, unix.EPERM) {
				t.Errorf("%s, %s: %v, want EPERM", region, what, err)
			}
		}
	}
	s.finish()
}

func sealedAgainstExecution(f *os.File) bool {
	seals, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0)
	return err == nil && seals&0x20 != 0
}

// TestPunchedHole: zeroes where records were are never taken for records.
func TestPunchedHole(t *testing.T) {
	t.Parallel()
	for _, region := range []string{logRegion, cursorRegion} {
		t.Run(region, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			f := steal(t, s.host.pid(), region)
			info, err := f.Stat()
			if err != nil {
				t.Fatal(err)
			}
			if err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, info.Size()); err != nil {
				t.Fatal(err)
			}
			s.named()
			s.finish("corrupt", "detached")
		})
	}
}

// TestPunchedRecords: the same of the records alone.
func TestPunchedRecords(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	f := steal(t, s.host.pid(), logRegion)
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		if err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, info.Size()-64<<10, 64<<10); err != nil {
			t.Fatal(err)
		}
	}
	s.finish("corrupt", "detached", "wrong")
}

// TestReopenedForWriting: a process of the same user may reopen what it got for
// reading, and write anything anywhere.
func TestReopenedForWriting(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	random := rand.New(rand.NewPCG(1, 2))
	log, cursors := s.stolen(logRegion, true), s.stolen(cursorRegion, true)
	const edits = 200_000
	for i := range edits {
		b := log
		switch {
		case i%3 == 0:
			b = log[:headerBytes]
		case i%7 == 0:
			b = cursors[:4*headerBytes]
		}
		word64(b, random.IntN(len(b)/8)*8).Store(random.Uint64() >> random.IntN(64))
		if i%1000 == 0 {
			runtime.Gosched()
		}
	}
	s.named()
	s.finish("corrupt", "detached", "wrong")
}

// TestReadOnlyMapping: what a participant got for reading, it cannot make
// writable without reopening it on purpose.
func TestReadOnlyMapping(t *testing.T) {
	s := newScene(t)
	c := s.dial(control.Config{})
	g, err := c.Subscriber(bustest.Context(t), control.SubscriberRequest{Topic: "victim", Mode: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Release()
	f := readOnly(t, logRegion)
	fd := int(f.Fd())
	for what, err := range upgrades(fd) {
		if !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EBADF) && !errors.Is(err, unix.EINVAL) {
			t.Errorf("%s: %v", what, err)
		}
	}
	s.finish()
}

// readOnly finds this process's own read-only descriptor of a region.
func readOnly(t *testing.T, region string) *os.File {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		path := "/proc/self/fd/" + e.Name()
		to, _ := os.Readlink(path)
		if to != "/memfd:"+region+" (deleted)" {
			continue
		}
		var fd uintptr
		if _, err := fmt.Sscan(e.Name(), &fd); err != nil {
			t.Fatal(err)
		}
		if mode, err := unix.FcntlInt(fd, unix.F_GETFL, 0); err != nil || mode&unix.O_ACCMODE != unix.O_RDONLY {
			t.Fatalf("%s is open with mode %#x, %v; want read-only", region, mode, err)
		}
		dup, err := unix.Dup(int(fd))
		if err != nil {
			t.Fatal(err)
		}
		f := os.NewFile(uintptr(dup), region)
		t.Cleanup(func() { f.Close() })
		return f
	}
	t.Fatalf("this process has no region %s", region)
	return nil
}

// upgrades are the ways to write through a read-only descriptor that the kernel
// closes, and what became of each.
func upgrades(fd int) map[string]error {
	results := map[string]error{}
	_, results["map for writing"] = unix.Mmap(fd, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	b, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		results["map for reading"] = fmt.Errorf("failed: %w", err)
		return results
	}
	defer unix.Munmap(b)
	results["mprotect"] = unix.Mprotect(b, unix.PROT_READ|unix.PROT_WRITE)
	_, results["write"] = unix.Pwrite(fd, []byte{1}, 0)
	results["truncate"] = unix.Ftruncate(fd, 0)
	results["punch"] = unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 4096)
	results["madvise"] = unix.Madvise(b, unix.MADV_REMOVE)
	return results
}

// TestWakesStolen: somebody who may only read takes every wake-up for himself,
// and moves those who sleep to a word of his own. All waits are bounded, so
// everything arrives all the same.
func TestWakesStolen(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	log, cursors := s.stolen(logRegion, false), s.stolen(cursorRegion, false)
	own := word32(shm.AlignedBytes(4096), 0)
	deadline := time.Now().Add(2 * time.Second)
	for time.Now().Before(deadline) {
		for _, w := range []*shm.Word32{word32(log, doorbellAt), word32(log, pendingAt), word32(log, mutexAt), word32(cursors, spaceAt)} {
			shm.FutexWake(w, 1)
			// Both private and not, to a word that nobody wakes.
			const requeue = 3
			_, _, _ = unix.Syscall6(unix.SYS_FUTEX, reflect.ValueOf(w).Pointer(), requeue, 0, 1<<30, reflect.ValueOf(own).Pointer(), 0)
		}
		runtime.Gosched()
	}
	s.finish()
}

// TestBadLockWords: nobody enters, and nobody waits for ever, where the lock is
// held by nobody.
func TestBadLockWords(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(log []byte){
		"mutex of a slot that is not granted": func(log []byte) { word32(log, mutexAt).Store(9<<8 | 40) },
		"mutex of no slot":                    func(log []byte) { word32(log, mutexAt).Store(200) },
		"mutex of another generation":         func(log []byte) { word32(log, mutexAt).Store(4000<<8 | 1) },
		"all bits of the mutex":               func(log []byte) { word32(log, mutexAt).Store(^uint32(0)) },
		"all bits of the bias":                func(log []byte) { word64(log, biasAt).Store(^uint64(0)) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			log := s.stolen(logRegion, true)
			bustest.Until(t, "the victim to be named as corrupt", func() bool {
				spoil(log) // who was inside may have overwritten it
				return s.topic("victim").Corrupt != ""
			})
			s.victims[0].until(t, "fail", func() bool { return s.victims[0].failed != "" })
			s.finish("corrupt", "detached")
		})
	}
}

// TestBiasOfNobody: a lock biased to nobody is taken over by the next who wants
// in: nobody is inside by it.
func TestBiasOfNobody(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	bias := word64(s.stolen(logRegion, true), biasAt)
	const nobody = 1<<32 | 9<<8 | 40
	// The host would call the topic corrupt if the publisher did not run between
	// two of its looks; it is not needed for this.
	s.host.signal(t, unix.SIGSTOP)
	defer s.host.signal(t, unix.SIGCONT)
	for range 20 {
		bias.Store(nobody)
		bustest.Until(t, "the bias to be taken over", func() bool { return bias.Load() != nobody })
		s.victims[0].goOn(t)
	}
	s.host.signal(t, unix.SIGCONT)
	s.finish()
}

// TestCursorPastTheEnd: a cursor that cannot be is nobody's cursor: its
// subscriber is detached and the others of the topic lose nothing.
func TestCursorPastTheEnd(t *testing.T) {
	t.Parallel()
	for name, value := range map[string]uint64{"far ahead": 1 << 60, "far behind": 1<<64 - 1<<40, "one beyond": 1<<63 - 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			other := spawn(t, s.dir, "subscriber", "victim")
			other.goOn(t)
			log, cursors := s.stolen(logRegion, false), s.stolen(cursorRegion, true)
			slot := 0 // of the two that came first, the reliable one has a gate
			if word32(log, gatesAt).Load() == 0 {
				slot = 1
			}
			bustest.Until(t, "the subscriber to be detached", func() bool {
				word64(cursors, headerBytes*(1+slot)).Store(value)
				s.victims[1].mu.Lock()
				defer s.victims[1].mu.Unlock()
				return s.victims[1].failed != ""
			})
			if how := s.victims[1].outcome(t); !strings.HasPrefix(how, "detached ") {
				t.Errorf("the subscriber whose cursor it was: %s", how)
			}
			other.goOn(t)
			s.victims = append(s.victims[:1], s.victims[2:]...)
			s.finish()
			if i := s.topic("victim"); i.Corrupt != "" {
				t.Errorf("the topic is called corrupt: %s", i.Corrupt)
			}
		})
	}
}
