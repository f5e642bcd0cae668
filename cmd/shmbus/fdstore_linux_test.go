package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// manager is what a service manager is to shmbus: a notify socket and a store of
// descriptors, which it hands to the next process.
type manager struct {
	t    *testing.T
	conn *net.UnixConn
	addr string

	mu    sync.Mutex
	store map[string]*os.File
	said  []string
}

func newManager(t *testing.T, p place) *manager {
	t.Helper()
	addr := filepath.Join(p.dir, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: addr, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	m := &manager{t: t, conn: conn, addr: addr, store: map[string]*os.File{}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for m.receive() == nil {
		}
	}()
	t.Cleanup(func() {
		conn.Close()
		<-done
		for _, f := range m.store {
			f.Close()
		}
	})
	return m
}

func (m *manager) receive() error {
	b, oob := make([]byte, 4096), make([]byte, 256)
	n, oobn, _, _, err := m.conn.ReadMsgUnix(b, oob)
	if err != nil {
		return err
	}
	var fds []int
	if parts, err := unix.ParseSocketControlMessage(oob[:oobn]); err == nil {
		for i := range parts {
			rights, _ := unix.ParseUnixRights(&parts[i])
			fds = append(fds, rights...)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	text := string(b[:n])
	m.said = append(m.said, text)
	_, name, _ := strings.Cut(text, "FDNAME=")
	switch {
	case strings.HasPrefix(text, "FDSTORE=1\n") && len(fds) == 1 && m.store[name] == nil:
		m.store[name] = os.NewFile(uintptr(fds[0]), name)
		return nil
	case strings.HasPrefix(text, "FDSTORE=1\n"):
		m.t.Errorf("stored %q with %d descriptors, again %t", name, len(fds), m.store[name] != nil)
	case strings.HasPrefix(text, "FDSTOREREMOVE=1\n") && m.store[name] != nil:
		m.store[name].Close()
		delete(m.store, name)
	}
	for _, fd := range fds {
		unix.Close(fd)
	}
	return nil
}

// names are what is in the store, sorted, with the ring's id left out.
func (m *manager) names() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for n := range m.store {
		names = append(names, regexp.MustCompile(`\.[0-9a-f]{16}\.`).ReplaceAllString(n, "."))
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

func (m *manager) holds(want string) {
	m.t.Helper()
	poll(func() bool { return m.names() == want }, func() { m.t.Fatalf("the store holds %q, want %q", m.names(), want) })
}

func (m *manager) heard(text string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.ContainsFunc(m.said, func(s string) bool { return strings.Contains(s, text) })
}

// serve starts a host as the manager would, with what is in the store.
func (m *manager) serve(p place, args ...string) *process {
	m.t.Helper()
	program, err := os.Executable()
	if err != nil {
		m.t.Fatal(err)
	}
	return m.serveBy(program, p, args...)
}

// serveBy is serve by another program.
func (m *manager) serveBy(program string, p place, args ...string) *process {
	m.t.Helper()
	cmd := exec.Command("bash", append([]string{"-c", `LISTEN_PID=$$ exec -a shmbus "$0" "$@"`, program, "serve"}, args...)...)
	stderr := &lockedBuffer{}
	cmd.Stderr = stderr
	m.mu.Lock()
	m.said = nil
	names := slices.Sorted(maps.Keys(m.store))
	for _, n := range names {
		cmd.ExtraFiles = append(cmd.ExtraFiles, m.store[n])
	}
	m.mu.Unlock()
	cmd.Env = append(os.Environ(), "SHMBUS_DIR="+p.dir, "SHMBUS_BUS=", "NOTIFY_SOCKET="+m.addr,
		fmt.Sprintf("LISTEN_FDS=%d", len(names)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	s := (&process{cmd, stderr, "shmbus serve"}).start(m.t)
	poll(func() bool { return m.heard("READY=1") }, func() { m.t.Fatalf("serve is never ready:\n%s", stderr) })
	return s
}

// output runs a command to its end.
func (p place) output(t *testing.T, exit int, input string, args ...string) (out, stderr string) {
	t.Helper()
	c := p.command(t, args...)
	c.Stdin = strings.NewReader(input)
	r := c.out(t)
	c.start(t)
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	c.exits(t, exit)
	return string(b), c.stderr.String()
}

// TestStoreBringsTopicsBack: serve is the only participant, is killed, and comes back
// with every topic and its messages; rm takes one out of the store.
func TestStoreBringsTopicsBack(t *testing.T) {
	p := newPlace(t)
	m := newManager(t, p)
	s := m.serve(p)
	p.output(t, exitOK, "1\n2\n3\n", "pub", "t", "--no-host")
	p.output(t, exitOK, "only\n", "pub", "x", "--no-host", "--exclusive")
	const all = "cursors.t cursors.x log.t log.x"
	m.holds(all)
	for range 2 {
		s.kill(t)
		m.holds(all)
		s = m.serve(p)
		if out, _ := p.output(t, exitOK, "", "sub", "t", "--no-host", "--from", "earliest", "--count", "3"); out != "1\n2\n3\n" {
			t.Errorf("topic t came back with %q", out)
		}
	}
	if out, _ := p.output(t, exitFailed, "", "sub", "x", "--no-host", "--from", "earliest"); out != "only\n" {
		t.Errorf("the exclusive topic came back with %q", out)
	}
	p.output(t, exitOK, "4\n", "pub", "t", "--no-host")
	if out, _ := p.output(t, exitOK, "", "sub", "t", "--no-host", "--from", "3", "--count", "1"); out != "4\n" {
		t.Errorf("what was published after that is %q", out)
	}
	m.holds(all) // nothing twice
	p.output(t, exitOK, "", "rm", "x")
	m.holds("cursors.t log.t")
	s.Process.Signal(syscall.SIGTERM)
	s.exits(t, exitOK)
	m.holds("cursors.t log.t")
}

// TestServeHandsOver: serve is replaced by the next one while a publisher and a
// subscriber go on: nothing is lost, nothing comes twice, newcomers are let in.
// SHMBUS_OTHER names the shmbus of another version, which then is the first, the
// third and the fifth host; of the same layout and protocol it must make no
// difference.
func TestServeHandsOver(t *testing.T) {
	p := newPlace(t)
	m := newManager(t, p)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	programs := []string{self, cmp.Or(os.Getenv("SHMBUS_OTHER"), self)} // of even rounds, and of odd ones
	s := m.serveBy(programs[1], p)
	sub := p.command(t, "sub", "t", "--no-host", "--drain")
	out := bufio.NewReader(sub.out(t))
	sub.start(t)
	pub := p.command(t, "pub", "t", "--no-host", "--wait-subscribers", "1", "--capacity", "64KiB")
	in := pub.in(t)
	pub.start(t)
	n := 0
	next := func(lines int) {
		t.Helper()
		for range lines {
			if _, err := fmt.Fprintln(in, n); err != nil {
				t.Fatal(err)
			}
			if got, err := out.ReadString('\n'); err != nil || got != fmt.Sprintln(n) {
				t.Fatalf("read %q, %v, want %d", got, err, n)
			}
			n++
		}
	}
	next(10)
	for round := range 4 {
		if round%2 == 0 {
			s.kill(t)
		} else {
			s.Process.Signal(syscall.SIGTERM)
			s.exits(t, exitOK)
		}
		next(100) // nobody hosts
		s = m.serveBy(programs[round%2], p)
		next(100)
		if got, _ := p.output(t, exitOK, "", "sub", "t", "--no-host", "--from", fmt.Sprint(n-1), "--count", "1"); got != fmt.Sprintln(n-1) {
			t.Errorf("a newcomer reads %q", got)
		}
		m.holds("cursors.t log.t")
	}
	in.Close()
	pub.exits(t, exitOK)
	sub.exits(t, exitOK)
	if d, l := delivered(t, sub); d != n || l != 0 {
		t.Errorf("delivered %d, lost %d, want %d and 0", d, l, n)
	}
}

// TestStoreKeepsAnotherLayout: a topic of a layout version that this program does not
// know is refused, naming both versions, and stays in the store as it is; others are
// served; rm lets go of it.
func TestStoreKeepsAnotherLayout(t *testing.T) {
	p := newPlace(t)
	m := newManager(t, p)
	s := m.serve(p)
	p.output(t, exitOK, "1\n", "pub", "future", "--no-host")
	p.output(t, exitOK, "2\n", "pub", "t", "--no-host")
	const all = "cursors.future cursors.t log.future log.t"
	m.holds(all)
	s.kill(t)
	m.mu.Lock()
	for name, f := range m.store {
		if strings.HasPrefix(name, "log.") && strings.HasSuffix(name, ".future") {
			if _, err := f.WriteAt([]byte{99, 0, 0, 0}, 8); err != nil {
				t.Error(err)
			}
		}
	}
	m.mu.Unlock()
	s = m.serve(p)
	poll(func() bool { return m.heard("STATUS=topic future is kept aside") }, func() { t.Error("the manager was not told") })
	for _, args := range [][]string{{"sub", "future", "--no-host"}, {"pub", "future", "--no-host"}} {
		if _, text := p.output(t, exitVersion, "x\n", args...); !strings.Contains(text, "layout 99") || !regexp.MustCompile(`reads \d+`).MatchString(text) {
			t.Errorf("%v: %s", args, text)
		}
	}
	if out, _ := p.output(t, exitOK, "", "sub", "t", "--no-host", "--from", "earliest", "--count", "1"); out != "2\n" {
		t.Errorf("the other topic came back with %q", out)
	}
	m.holds(all)
	s.kill(t)
	m.serve(p) // as often as it likes
	m.holds(all)
	p.output(t, exitOK, "", "rm", "future")
	m.holds("cursors.t log.t")
	p.output(t, exitOK, "new\n", "pub", "future", "--no-host")
	m.holds(all)
}
