package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestResolveRoot(t *testing.T) {
	owns := func(path string, uid int) bool { return path == "/run/user/1000" && uid == 1000 }
	for _, c := range []struct {
		dir     string
		uid     int
		runtime string
		want    string
	}{
		{"/given", 0, "/xdg", "/given"},
		{"/given/../b/", 1000, "/xdg", "/b"},
		{"", 0, "/xdg", "/run/shmbus"},
		{"", 1000, "/xdg", "/xdg/shmbus"},
		{"", 1000, "relative", "/run/user/1000/shmbus"},
		{"", 1000, "", "/run/user/1000/shmbus"},
		{"", 1001, "", "/tmp/shmbus-1001"},
	} {
		path, rule, err := resolveRoot(c.dir, c.uid, c.runtime, owns)
		if path != c.want || rule == "" || err != nil {
			t.Errorf("resolveRoot(%q, %d, %q) = %q (%s), %v; want %q", c.dir, c.uid, c.runtime, path, rule, err, c.want)
		}
	}
	if path, _, err := ResolveRoot("here"); err != nil || !filepath.IsAbs(path) {
		t.Errorf("a relative directory became %q, %v", path, err)
	}
}

func TestOpenBusDirMakesItPrivateWhateverTheUmask(t *testing.T) {
	for _, mask := range []int{0, 0o022, 0o777} {
		root := shortDir(t) + "/parent/root"
		old := syscall.Umask(mask)
		os.Mkdir(filepath.Dir(root), 0o700)
		os.Chmod(filepath.Dir(root), 0o700)
		d, err := OpenBusDir(root, "bus", DirOptions{Create: true})
		syscall.Umask(old)
		if err != nil {
			t.Fatalf("umask %03o: %v", mask, err)
		}
		defer d.Close()
		for _, path := range []string{root, root + "/bus"} {
			if mode := modeOf(t, path); mode != 0o700 {
				t.Errorf("umask %03o: %s has mode %04o", mask, path, mode)
			}
		}
		if d.String() != root+"/bus" || d.Owner() != uint32(os.Getuid()) || d.Guest() || d.Group() != nil {
			t.Errorf("got %+v", d)
		}
	}
}

func modeOf(t *testing.T, path string) os.FileMode {
	t.Helper()
	st, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return st.Mode().Perm()
}

func TestOpenBusDirRefuses(t *testing.T) {
	chown := func(t *testing.T, path string) {
		needRoot(t)
		must(t, os.Chown(path, nobody, nobody))
	}
	for _, c := range []struct {
		name  string
		spoil func(t *testing.T, root string) // root and root/bus are there, 0700
		want  error
		text  []string // ROOT stands for the root
	}{
		{"the root is a link", func(t *testing.T, root string) {
			must(t, os.Rename(root, root+".real"))
			must(t, os.Symlink(root+".real", root))
		}, ErrDirSymlink, []string{"ROOT", "symbolic link"}},
		{"the bus is a link", func(t *testing.T, root string) {
			must(t, os.Rename(root+"/bus", root+"/real"))
			must(t, os.Symlink("real", root+"/bus"))
		}, ErrDirSymlink, []string{"ROOT/bus"}},
		{"the bus is a dangling link", func(t *testing.T, root string) {
			must(t, os.Remove(root+"/bus"))
			must(t, os.Symlink("nowhere", root+"/bus"))
		}, ErrDirSymlink, []string{"ROOT/bus"}},
		{"the bus is a file", func(t *testing.T, root string) {
			must(t, os.Remove(root+"/bus"))
			must(t, os.WriteFile(root+"/bus", nil, 0o600))
		}, ErrNotDir, []string{"not a directory: ROOT/bus"}},
		{"the root is open to others", func(t *testing.T, root string) { must(t, os.Chmod(root, 0o755)) },
			ErrDirMode, []string{"ROOT ", "0755", "want 0700"}},
		{"the bus is open to others", func(t *testing.T, root string) { must(t, os.Chmod(root+"/bus", 0o701)) },
			ErrDirMode, []string{"ROOT/bus", "0701", "want 0700"}},
		{"the bus is open to the group without group mode", func(t *testing.T, root string) { must(t, os.Chmod(root+"/bus", 0o750)) },
			ErrDirMode, []string{"ROOT/bus", "0750", "want 0700"}},
		{"the root is not ours", func(t *testing.T, root string) { chown(t, root) },
			ErrDirOwner, []string{"ROOT ", "65534", "uid 0"}},
		{"the bus is not ours", func(t *testing.T, root string) { chown(t, root+"/bus") },
			ErrDirOwner, []string{"ROOT/bus", "65534", "uid 0"}},
	} {
		for _, create := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/create=%v", c.name, create), func(t *testing.T) {
				root := shortDir(t) + "/root"
				must(t, os.MkdirAll(root+"/bus", 0o700))
				c.spoil(t, root)
				fds := openDescriptors(t)
				_, err := OpenBusDir(root, "bus", DirOptions{Create: create, Rule: "a rule"})
				if !errors.Is(err, c.want) {
					t.Fatalf("got %v, want %v", err, c.want)
				}
				for _, text := range c.text {
					wantText(t, err, strings.ReplaceAll(text, "ROOT", root))
				}
				if now := openDescriptors(t); now > fds {
					t.Errorf("%d descriptors open, %d before", now, fds)
				}
			})
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestOpenBusDirWithoutBus(t *testing.T) {
	root := shortDir(t) + "/root"
	for range 2 { // without root, then without bus
		_, err := OpenBusDir(root, "bus", DirOptions{Rule: "XDG_RUNTIME_DIR is set"})
		if !errors.Is(err, ErrNoBus) {
			t.Errorf("got %v, want ErrNoBus", err)
		}
		wantText(t, err, root, `"bus"`, "XDG_RUNTIME_DIR is set")
		must(t, os.MkdirAll(root, 0o700))
	}
	if _, err := OpenBusDir(root, "../bus", DirOptions{Create: true}); !errors.Is(err, ErrBadName) {
		t.Errorf("got %v, want ErrBadName", err)
	}
}

func TestBusDirNoticesItsRemoval(t *testing.T) {
	d := testBusDir(t)
	must(t, d.Check())
	must(t, os.Remove(d.String()))
	for range 2 {
		if err := d.Check(); !errors.Is(err, ErrNoBus) {
			t.Errorf("got %v, want ErrNoBus", err)
		}
		must(t, os.MkdirAll(d.String(), 0o700)) // another directory in its place
	}
	if _, _, err := d.TryHostLock(); !errors.Is(err, ErrNoBus) {
		t.Errorf("locking in a removed directory: %v, want ErrNoBus", err)
	}
	must(t, d.Close())
	must(t, d.Close())
}

// systemd-tmpfiles leaves a directory alone on which it cannot take an exclusive flock.
func TestBusDirIsKeptFromCleaners(t *testing.T) {
	d := testBusDir(t)
	f, err := os.Open(d.String())
	must(t, err)
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); !errors.Is(err, unix.EWOULDBLOCK) {
		t.Errorf("an exclusive flock: %v, want EWOULDBLOCK", err)
	}
	must(t, d.Close())
	must(t, unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB))
	within(t, "opening under one that does not end", func() {
		d, err := OpenBusDir(filepath.Dir(d.String()), "bus", DirOptions{})
		if err != nil {
			t.Errorf("opening under an exclusive flock: %v", err)
			return
		}
		d.Close()
	})
}

// A socket address has 107 bytes; a directory may lie deeper.
func TestLongPath(t *testing.T) {
	root := filepath.Join(shortDir(t), strings.Repeat("d", 120), strings.Repeat("e", 120))
	d := reopen(t, root, DirOptions{Create: true})
	within(t, "listening and dialling", func() {
		l, err := Listen(d)
		if err != nil {
			t.Error(err)
			return
		}
		defer l.Close()
		c, err := dialHost(context.Background(), d)
		if err != nil {
			t.Error(err)
			return
		}
		c.Close()
	})
}

// guest opens a bus as another uid and tries what it may and what it may not.
var _ = childProgram("guest", func(args []string) error {
	root, guest := args[0], args[1] == "true"
	d, err := OpenBusDir(root, "bus", DirOptions{Guest: guest})
	if err != nil {
		fmt.Println(name(err, ErrDirOwner, ErrGuest, ErrDirMode), err)
		return nil
	}
	_, _, lock := d.TryHostLock()
	_, member := d.JoinMembers()
	_, listen := Listen(d)
	_, alive := d.MemberAlive(1 << 40)
	fmt.Println("open", d.Guest(), d.Owner(), d.Group().GID,
		name(lock, ErrGuest), name(member, ErrGuest), name(listen, ErrGuest), name(alive, ErrPermission))
	c, err := dialHost(context.Background(), d)
	if err != nil {
		return err
	}
	fmt.Println("connected")
	untilParentEnds()
	return c.Close()
})

// name is the sentinel that an error is, for the parent to compare.
func name(err error, sentinels ...error) string {
	for i, s := range sentinels {
		if errors.Is(err, s) {
			return "E" + strconv.Itoa(i)
		}
	}
	return fmt.Sprintf("other(%v)", err)
}

func TestAnotherUidIsKeptOut(t *testing.T) {
	needRoot(t)
	dir := shortDir(t)
	must(t, os.Chmod(dir, 0o755))
	d := reopen(t, dir+"/root", DirOptions{Create: true})
	l, err := Listen(d)
	must(t, err)
	defer l.Close()
	if mode := modeOf(t, d.String()+"/"+SocketName); mode != 0o600 {
		t.Errorf("the socket has mode %04o", mode)
	}
	if got := startChild(t, nobody, nobody, "guest", dir+"/root", "false").line(); !strings.HasPrefix(got, "E0 ") || !strings.Contains(got, "uid 0, this process is uid 65534") {
		t.Errorf("a stranger got %s, want ErrDirOwner", got)
	}
	if got := startChild(t, nobody, nobody, "guest", dir+"/root", "true").line(); !strings.HasPrefix(got, "E1 ") {
		t.Errorf("a guest got %s, want ErrGuest", got)
	}
}

func TestGroupMode(t *testing.T) {
	needRoot(t)
	dir := shortDir(t)
	must(t, os.Chmod(dir, 0o755))
	root := dir + "/root"
	group := &Group{Name: "guests", GID: 4711}
	d := reopen(t, root, DirOptions{Create: true, Group: group})
	for _, path := range []string{root, d.String()} {
		var st unix.Stat_t
		must(t, unix.Stat(path, &st))
		if st.Mode&0o777 != 0o750 || st.Gid != 4711 {
			t.Errorf("%s has mode %04o, gid %d", path, st.Mode&0o777, st.Gid)
		}
	}
	again := reopen(t, root, DirOptions{Create: true})
	if g := again.Group(); g == nil || g.GID != 4711 || again.Guest() {
		t.Errorf("another of our uid sees the group %v", g)
	}
	if _, err := OpenBusDir(root, "bus", DirOptions{Create: true, Group: &Group{Name: "other", GID: 4712}}); !errors.Is(err, ErrDirMode) {
		t.Errorf("another group: %v, want ErrDirMode", err)
	}
	// A host that dies is followed by one that was not told of the group.
	l, err := Listen(again)
	must(t, err)
	defer l.Close()
	var st unix.Stat_t
	must(t, unix.Stat(d.String()+"/"+SocketName, &st))
	if st.Mode&0o777 != 0o660 || st.Gid != 4711 {
		t.Errorf("the socket has mode %04o, gid %d", st.Mode&0o777, st.Gid)
	}

	join(t, d) // makes the members file, which no guest may open
	guest := startChild(t, nobody, 4711, "guest", root, "true")
	if got, want := guest.line(), "open true 0 4711 E0 E0 E0 E0"; got != want {
		t.Errorf("the guest got %q, want %q", got, want)
	}
	if got := guest.line(); got != "connected" {
		t.Errorf("the guest got %q", got)
	}
	c, err := l.Accept()
	must(t, err)
	defer c.Close()
	p, err := Credentials(c)
	must(t, err)
	defer p.Close()
	if p.UID != nobody || p.GID != 4711 {
		t.Errorf("the guest is uid %d, gid %d", p.UID, p.GID)
	}
	if got := startChild(t, nobody, 4711, "guest", root, "false").line(); !strings.HasPrefix(got, "E0 ") {
		t.Errorf("one who did not ask to be a guest got %s, want ErrDirOwner", got)
	}
	if got := startChild(t, nobody, 4712, "guest", root, "true").line(); !strings.HasPrefix(got, "E1 ") {
		t.Errorf("a guest of another group got %s, want ErrGuest", got)
	}
}

func TestLookupGroup(t *testing.T) {
	if g, err := LookupGroup("4711"); err != nil || g.GID != 4711 {
		t.Errorf("by number: %+v, %v", g, err)
	}
	if g, err := LookupGroup("root"); err != nil || g.GID != 0 || g.Name != "root" {
		t.Errorf("by name: %+v, %v", g, err)
	}
	if _, err := LookupGroup("no-such-group"); err == nil {
		t.Error("a group that is not there was found")
	}
}

// TestNarrowProcessorsAreRefused: 32-bit programs compile, and would write a
// position in two halves.
func TestNarrowProcessorsAreRefused(t *testing.T) {
	if err := needWords(32); !errors.Is(err, errors.ErrUnsupported) || !strings.Contains(err.Error(), "64-bit") {
		t.Errorf("32 bits: %v, want ErrUnsupported that says 64-bit", err)
	}
	if err := needWords(64); err != nil {
		t.Errorf("64 bits: %v", err)
	}
}
