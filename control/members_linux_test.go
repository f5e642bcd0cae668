package control

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

func wantAlive(t *testing.T, d *BusDir, id uint64, want bool) {
	t.Helper()
	if alive, err := d.MemberAlive(id); alive != want || err != nil {
		t.Errorf("MemberAlive(%#x) = %v, %v; want %v", id, alive, err, want)
	}
}

func join(t *testing.T, d *BusDir) *Member {
	t.Helper()
	m, err := d.JoinMembers()
	must(t, err)
	t.Cleanup(func() { m.Close() })
	return m
}

func TestMembers(t *testing.T) {
	d := testBusDir(t)
	a, b := join(t, d), join(t, second(t, d))
	mustLock(t, d) // shares the file, not the bytes
	if a.ID() == b.ID() || a.ID() == 0 || a.ID() >= 1<<62 {
		t.Errorf("ids %#x and %#x", a.ID(), b.ID())
	}
	wantAlive(t, d, a.ID(), true)
	wantAlive(t, d, b.ID(), true)
	wantAlive(t, d, a.ID()^1<<30, false)
	must(t, a.Check())
	must(t, a.Close())
	must(t, a.Close())
	wantAlive(t, d, a.ID(), false)
	wantAlive(t, d, b.ID(), true)
	if err := a.Check(); !errors.Is(err, ErrClosed) {
		t.Errorf("Check after Close: %v, want ErrClosed", err)
	}
	for _, id := range []uint64{0, 5, 1 << 62, 1<<64 - 1} {
		if _, err := d.MemberAlive(id); !errors.Is(err, ErrMalformed) {
			t.Errorf("MemberAlive(%#x): %v, want ErrMalformed", id, err)
		}
	}
}

var _ = childProgram("member", func(args []string) error {
	d, err := OpenBusDir(args[0], "bus", DirOptions{})
	if err != nil {
		return err
	}
	m, err := d.JoinMembers()
	if err != nil {
		return err
	}
	fmt.Println(m.ID())
	untilParentEnds()
	return nil
})

func TestMemberLivesAsLongAsItsProcess(t *testing.T) {
	d := testBusDir(t)
	c := startChild(t, os.Getuid(), 0, "member", strings.TrimSuffix(d.String(), "/bus"))
	id, err := strconv.ParseUint(c.line(), 10, 64)
	must(t, err)
	wantAlive(t, d, id, true)
	c.killAndReap()
	wantAlive(t, d, id, false)
}

// With the members file replaced a missing lock is no proof of death.
func TestReplacedMembersFileKillsNobody(t *testing.T) {
	d := testBusDir(t)
	old := join(t, d)
	watcher := second(t, d)
	wantAlive(t, watcher, old.ID(), true)

	must(t, os.Remove(d.String()+"/"+MembersName))
	late := second(t, d) // never saw the first file
	for range 2 {
		if alive, err := late.MemberAlive(old.ID()); alive || !errors.Is(err, ErrLockLost) {
			t.Errorf("MemberAlive by one who cannot know: %v, %v; want ErrLockLost", alive, err)
		}
		join(t, d) // the file is there again, another one
	}
	wantAlive(t, watcher, old.ID(), true)

	for range 3 { // Check may have to follow several times
		must(t, old.Check())
		wantAlive(t, late, old.ID(), true)
		must(t, os.Remove(d.String()+"/"+MembersName))
	}
	must(t, old.Check())
	if len(old.held) > 2 {
		t.Errorf("the member holds %d files", len(old.held))
	}
	must(t, old.Close())
	wantAlive(t, watcher, old.ID(), false)
}

func TestBusDirAsksBoundedlyManyReplacedMembersFiles(t *testing.T) {
	d := testBusDir(t)
	m := join(t, d)
	for range 3 * maxMembersFiles {
		must(t, os.Remove(d.String()+"/"+MembersName))
		must(t, m.Check())
		wantAlive(t, d, m.ID(), true)
	}
	if len(d.members) > maxMembersFiles {
		t.Errorf("%d files are open", len(d.members))
	}
}
