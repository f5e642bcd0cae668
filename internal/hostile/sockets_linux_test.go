package hostile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/shmbus/shmbus/bustest"
)

// dialRaw connects to the host without speaking.
func (s *scene) dialRaw() int {
	s.t.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: s.dir + "/test/control.sock"}); err != nil {
		s.t.Fatal(err)
	}
	return fd
}

const hello = `{"version":1,"type":"hello","id":1,"observer":true}`

// hungUp reports whether a message was not sent because the host had closed the
// connection, as it may.
func hungUp(err error) bool { return errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) }

// descriptors counts what a process has open.
func descriptors(t *testing.T, pid int) int {
	t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// TestDescriptorFlood: as many descriptors as a message can carry, in many
// messages, before and behind the hello: the host keeps none of them.
func TestDescriptorFlood(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	most := make([]int, 253)
	for i := range most {
		most[i] = int(null.Fd())
	}
	rights := unix.UnixRights(most...)
	before := descriptors(t, s.host.pid())
	sent := 0
	for round := range 60 {
		fd := s.dialRaw()
		switch round % 3 {
		case 1:
			if err := unix.Sendmsg(fd, []byte(hello), nil, nil, 0); err != nil && !hungUp(err) {
				t.Fatal(err)
			}
		case 2: // not even a message
			if err := unix.Sendmsg(fd, []byte("x"), rights, nil, unix.MSG_DONTWAIT); err == nil {
				sent++
			}
		}
		for range 4 {
			err := unix.Sendmsg(fd, []byte(`{"version":1,"type":"ping","id":2}`), rights, nil, unix.MSG_DONTWAIT)
			if err == nil {
				sent++
			} else if !hungUp(err) && !errors.Is(err, unix.EPERM) && !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.ETOOMANYREFS) {
				t.Fatal(err)
			}
		}
		unix.Close(fd)
	}
	t.Logf("the kernel took %d messages with descriptors", sent)
	bustest.Until(t, "the host to have as many descriptors as before", func() bool { return descriptors(t, s.host.pid()) <= before })
	s.finish()
}

// TestMalformedFlood: connections that say nothing, too much, nothing of
// sense, or use what the protocol does not.
func TestMalformedFlood(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	before := descriptors(t, s.host.pid())
	var open []int
	for round := range 100 {
		fd := s.dialRaw()
		send := func(b string, flags int) {
			err := unix.Sendmsg(fd, []byte(b), nil, nil, flags|unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
			if flags&unix.MSG_OOB != 0 && !errors.Is(err, unix.EOPNOTSUPP) && !hungUp(err) {
				t.Errorf("out of band data: %v", err)
			}
		}
		switch round % 6 {
		case 0: // says nothing and stays
			open = append(open, fd)
			continue
		case 1:
			send(strings.Repeat("[", 65536), 0)
		case 2:
			send("", 0)
		case 3:
			send(hello, 0)
			send("x", unix.MSG_OOB)
			send(`{"version":1,"type":"observe","id":3,"topic":"`+strings.Repeat("a", 60000), 0)
		case 4:
			send(`{"version":4294967295,"type":"hello","id":-1}`, 0)
		case 5:
			send(hello, 0)
			for range 2000 { // asks and does not read
				send(`{"version":1,"type":"topics","id":2}`, 0)
			}
		}
		unix.Close(fd)
	}
	s.unharmed()
	for _, fd := range open {
		unix.Close(fd)
	}
	bustest.Until(t, "the host to have as many descriptors as before", func() bool { return descriptors(t, s.host.pid()) <= before })
	s.finish()
}

// TestUmaskZero: whatever the umask, nobody else may enter, read or write what
// a host makes. The mode of the socket is there from its first moment.
func TestUmaskZero(t *testing.T) {
	old := syscall.Umask(0)
	defer syscall.Umask(old)
	s := &scene{t: t, dir: bustest.Dir(t) + "/root"}
	loose := make(chan error, 1)
	stop := make(chan struct{})
	go func() { loose <- watchModes(s.dir, stop) }()
	s.host = spawn(t, s.dir, "host")
	s.bystanders = s.cast("bystander")
	s.unharmed()
	close(stop)
	if err := <-loose; err != nil {
		t.Error(err)
	}
}

// watchModes looks at what is in dir all the time, until stop, and says what
// others than its owner may use. Files that are behind a private directory may
// be a moment too open, the directory may not.
func watchModes(dir string, stop <-chan struct{}) error {
	for {
		last := false
		select {
		case <-stop:
			last = true
		default:
		}
		seen := 0
		err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil {
				return nil // not there yet, or not any more
			}
			info, err := e.Info()
			if err != nil {
				return nil
			}
			seen++
			if info.Mode()&fs.ModeSymlink == 0 && info.Mode().Perm()&0o077 != 0 {
				return fmt.Errorf("%s has mode %v", path, info.Mode())
			}
			return nil
		})
		if err != nil {
			return err
		}
		if last {
			if seen < 4 {
				return fmt.Errorf("only %d files were made", seen)
			}
			return nil
		}
		runtime.Gosched()
	}
}

// TestNoAbstractSocket: there is no way in but through the directory.
func TestNoAbstractSocket(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	inodes := map[string]bool{}
	dir := fmt.Sprintf("/proc/%d/fd/", s.host.pid())
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		to, _ := os.Readlink(dir + e.Name())
		if inode, ok := strings.CutPrefix(to, "socket:["); ok {
			inodes[strings.TrimSuffix(inode, "]")] = true
		}
	}
	b, err := os.ReadFile("/proc/net/unix")
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 8 || !inodes[f[6]] {
			continue
		}
		named++
		if !strings.HasPrefix(f[7], "/") {
			t.Errorf("the host has the socket %s", f[7])
		}
	}
	if named == 0 {
		t.Error("the host's sockets were not found")
	}
	s.unharmed()
}
