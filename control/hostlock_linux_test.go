package control

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
)

func mustLock(t *testing.T, d *BusDir) *HostLock {
	t.Helper()
	l, ok, err := d.TryHostLock()
	if !ok || err != nil {
		t.Fatalf("TryHostLock: %v, %v", ok, err)
	}
	t.Cleanup(func() { l.Release() })
	return l
}

func mustNotLock(t *testing.T, d *BusDir) {
	t.Helper()
	if l, ok, err := d.TryHostLock(); ok || err != nil || l != nil {
		t.Fatalf("TryHostLock of another: %v, %v, %v", l, ok, err)
	}
}

// second is the same directory as another participant has it.
func second(t *testing.T, d *BusDir) *BusDir {
	t.Helper()
	return reopen(t, d.String()[:len(d.String())-len("/bus")], DirOptions{})
}

func TestTwoLockers(t *testing.T) {
	a := testBusDir(t)
	b := second(t, a)
	l := mustLock(t, a)
	mustNotLock(t, b)
	mustNotLock(t, a)
	if pid := b.HostPID(); pid != os.Getpid() {
		t.Errorf("HostPID is %d, want %d", pid, os.Getpid())
	}
	must(t, l.Check())
	must(t, l.Release())
	must(t, l.Release())
	if err := l.Check(); !errors.Is(err, ErrClosed) {
		t.Errorf("Check after Release: %v, want ErrClosed", err)
	}
	if pid := b.HostPID(); pid != 0 {
		t.Errorf("HostPID is %d with no host", pid)
	}
	mustLock(t, b)
	mustNotLock(t, a)
	for _, name := range []string{LockName, MembersName} {
		if mode := modeOf(t, a.String()+"/"+name); mode != 0o600 {
			t.Errorf("%s has mode %04o", name, mode)
		}
	}
}

// Somebody removes a lock file under the host: nobody else becomes host, and the
// host gets hold of the new file.
func TestUnlinkedLockFileMakesNoSecondHost(t *testing.T) {
	for _, name := range []string{LockName, MembersName} {
		t.Run(name, func(t *testing.T) {
			a := testBusDir(t)
			b := second(t, a)
			l := mustLock(t, a)
			for range 3 {
				must(t, os.Remove(a.String()+"/"+name))
				mustNotLock(t, b)
				must(t, l.Check())
				mustNotLock(t, b)
			}
			// Checked, so now the other file may go too.
			must(t, os.Remove(a.String()+"/"+LockName))
			must(t, l.Check())
			must(t, os.Remove(a.String()+"/"+MembersName))
			must(t, l.Check())
			mustNotLock(t, b)
			must(t, l.Release())
			mustLock(t, b)
		})
	}
}

// Both files gone at once is beyond repair only if somebody else was faster.
func TestHostStepsDownWhenBothLocksAreLost(t *testing.T) {
	a := testBusDir(t)
	b := second(t, a)
	l := mustLock(t, a)
	remove := func() {
		must(t, os.Remove(a.String()+"/"+LockName))
		must(t, os.Remove(a.String()+"/"+MembersName))
	}
	remove()
	must(t, l.Check()) // nobody took them
	remove()
	other := mustLock(t, b)
	if err := l.Check(); !errors.Is(err, ErrLockLost) {
		t.Errorf("Check: %v, want ErrLockLost", err)
	}
	must(t, other.Check())
}

// The contender opened the file, then it was unlinked, then the contender locks
// it: it must not take the lock of a nameless file for the bus's.
func TestLockOfAnUnlinkedFileDoesNotCount(t *testing.T) {
	d := testBusDir(t)
	calls := 0
	f, ok, err := d.lockFile(LockName, func(f *os.File) (bool, error) {
		if calls++; calls < 3 {
			must(t, os.Remove(d.String()+"/"+LockName))
		}
		return flockWhole(f)
	})
	if !ok || err != nil || calls != 3 {
		t.Fatalf("%v, %v after %d calls", ok, err, calls)
	}
	defer f.Close()
	mustNotLock(t, d)
	fds := openDescriptors(t)
	_, ok, err = d.lockFile("other", func(f *os.File) (bool, error) { return true, os.Remove(f.Name()) })
	if ok || !errors.Is(err, ErrLockLost) {
		t.Errorf("a file that is always replaced: %v, %v, want ErrLockLost", ok, err)
	}
	if now := openDescriptors(t); now > fds {
		t.Errorf("%d descriptors open, %d before", now, fds)
	}
}

func TestLockFileMustBeAPlainFileOfOurs(t *testing.T) {
	target := shortDir(t) + "/target"
	must(t, os.WriteFile(target, nil, 0o644))
	for name, spoil := range map[string]func(path string) error{
		"link":      func(path string) error { return os.Symlink(target, path) },
		"directory": func(path string) error { return os.Mkdir(path, 0o700) },
		"foreign": func(path string) error {
			return errors.Join(os.WriteFile(path, nil, 0o600), os.Chown(path, nobody, nobody))
		},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "foreign" {
				needRoot(t)
			}
			d := testBusDir(t)
			must(t, spoil(d.String()+"/"+LockName))
			_, ok, err := d.TryHostLock()
			if ok || err == nil {
				t.Fatalf("locked a %s", name)
			}
			wantText(t, err, d.String()+"/"+LockName)
			if name == "link" {
				wantText(t, err, "symbolic link")
			}
		})
	}
	if mode := modeOf(t, target); mode != 0o644 {
		t.Errorf("the target of a link now has mode %04o", mode)
	}
}

var _ = childProgram("host", func(args []string) error {
	d, err := OpenBusDir(args[0], "bus", DirOptions{})
	if err != nil {
		return err
	}
	_, ok, err := d.TryHostLock()
	fmt.Println("locked", ok, err)
	untilParentEnds()
	return nil
})

func TestHostLockEndsWithItsProcess(t *testing.T) {
	d := testBusDir(t)
	c := startChild(t, os.Getuid(), 0, "host", d.String()[:len(d.String())-len("/bus")])
	if got := c.line(); got != "locked true <nil>" {
		t.Fatal(got)
	}
	mustNotLock(t, d)
	if pid := d.HostPID(); pid != c.cmd.Process.Pid {
		t.Errorf("HostPID is %d, want %d", pid, c.cmd.Process.Pid)
	}
	c.killAndReap()
	mustLock(t, d)
}

// piecewise gives one piece with each read, as the kernel does its list of locks.
type piecewise []string

func (p *piecewise) Read(b []byte) (int, error) {
	if len(*p) == 0 {
		return 0, io.EOF
	}
	n := copy(b, (*p)[0])
	*p = (*p)[1:]
	return n, nil
}

// Who is not in a list that came in pieces may be there all the same, between two.
func TestLocksInPieces(t *testing.T) {
	const (
		other  = "1: POSIX  ADVISORY  WRITE 12 00:1b:7 0 EOF\n2: FLOCK  ADVISORY  READ 34 00:1b:8 0 EOF\n"
		waiter = "2: -> FLOCK  ADVISORY  WRITE 56 00:1b:8 0 EOF\n"
		holder = "3: FLOCK  ADVISORY  WRITE 78 00:1b:8 0 EOF\n"
		hidden = "3: FLOCK  ADVISORY  WRITE 0 00:1b:8 0 EOF\n" // of another PID namespace
	)
	for _, x := range []struct {
		name  string
		list  piecewise
		pid   int
		whole bool
	}{
		{"empty", nil, 0, true},
		{"nobody", piecewise{other + waiter + hidden}, 0, true},
		{"somebody", piecewise{other + waiter + holder}, 78, true},
		{"somebody behind the first piece", piecewise{other, waiter, holder}, 78, true},
		{"nobody in two pieces", piecewise{other, waiter}, 0, false},
		{"nobody in a full page", piecewise{strings.Repeat(other, os.Getpagesize()/len(other))}, 0, false},
	} {
		if pid, whole := flockHolder(&x.list, "00:1b:8"); pid != x.pid || whole != x.whole {
			t.Errorf("%s: pid %d, whole %t; want %d, %t", x.name, pid, whole, x.pid, x.whole)
		}
	}
}
