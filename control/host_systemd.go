package control

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
)

// The service manager's side of Serve: two conventions of systemd, a few lines
// each, see sd_listen_fds(3) and sd_notify(3).

// firstHanded is the first descriptor that the service manager hands over.
const firstHanded = 3

// handedListener returns the listening socket that the service manager handed to
// this process, nil if it did not. The variables are removed, so that children
// do not take them for theirs.
func handedListener() (*Listener, error) {
	pid, count, names := os.Getenv("LISTEN_PID"), os.Getenv("LISTEN_FDS"), os.Getenv("LISTEN_FDNAMES")
	if pid == "" || count == "" {
		return nil, nil
	}
	if p, err := strconv.Atoi(pid); err != nil || p != os.Getpid() {
		return nil, nil
	}
	for _, v := range []string{"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"} {
		if err := os.Unsetenv(v); err != nil {
			return nil, fmt.Errorf("control: unset %s: %w", v, err)
		}
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 1 || n > MaxFiles {
		return nil, fmt.Errorf("%w: LISTEN_FDS=%q", ErrMalformed, count)
	}
	index := 0
	if n > 1 {
		index = -1
		for i, name := range strings.Split(names, ":") {
			if name == "control" && i < n {
				index = i
			}
		}
		if index < 0 {
			return nil, fmt.Errorf("%w: %d sockets were handed over and none is named control (FileDescriptorName=)", ErrMalformed, n)
		}
	}
	return ListenerFromFile(os.NewFile(uintptr(firstHanded+index), "control"))
}

// notifyManager tells the service manager about this process, if there is one
// that wants to know.
func notifyManager(state string) error {
	name := os.Getenv("NOTIFY_SOCKET")
	if name == "" {
		return nil
	}
	// A leading @ is Linux's abstract namespace, for Go too.
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("control: notify the service manager: %w", err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(state)); err != nil {
		return fmt.Errorf("control: notify the service manager: %w", err)
	}
	return nil
}
