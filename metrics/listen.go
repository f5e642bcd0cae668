package metrics

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
)

// DefaultAddress is where metrics are served if nothing else is asked for.
const DefaultAddress = "127.0.0.1:9464"

// Listen listens on HOST:PORT, or on unix:PATH: a socket that only this user
// can connect to. A socket that nobody listens on any more is replaced; other
// files are left alone. Closing the listener removes the socket.
//
// Whoever can connect to HOST:PORT can read the names of topics and
// participants and how much they say: stay on the loopback interface, or put a
// proxy in front. Errors: [ErrAddress], those of the system.
func Listen(address string) (net.Listener, error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return listenUnix(path)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("%w %q: %w: want HOST:PORT or unix:PATH", ErrAddress, address, err)
	}
	if host == "" {
		return nil, fmt.Errorf("%w %q: say which HOST, 0.0.0.0 or [::] for all interfaces", ErrAddress, address)
	}
	if _, err := net.LookupPort("tcp", port); err != nil {
		return nil, fmt.Errorf("%w %q: port %q: want a number up to 65535", ErrAddress, address, port)
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, fmt.Errorf("metrics: %w", err)
	}
	return l, nil
}

func listenUnix(path string) (net.Listener, error) {
	if path == "" {
		return nil, fmt.Errorf("%w %q: want unix:PATH", ErrAddress, "unix:")
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	// Bound under another name and renamed once its mode is right: nobody gets
	// to connect in between.
	private := path + ".new"
	switch info, err := os.Lstat(private); {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return nil, cannotListen(path, err)
	case info.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("metrics: %s, a name that is needed for a moment, is there and is not a socket: remove it or choose another path", private)
	default: // of who was killed in that moment
		if err := os.Remove(private); err != nil {
			return nil, cannotListen(path, err)
		}
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: private, Net: "unix"})
	if err != nil {
		return nil, cannotListen(path, err)
	}
	l.SetUnlinkOnClose(false)
	err = os.Chmod(private, 0o600)
	if err == nil {
		err = os.Rename(private, path)
	}
	if err != nil {
		_ = l.Close()
		_ = os.Remove(private)
		return nil, cannotListen(path, err)
	}
	return &unixListener{UnixListener: l, path: path}, nil
}

// cannotListen says why in terms of the path that was asked for: err is about
// the other name.
func cannotListen(path string, err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		err = errno
	}
	return fmt.Errorf("metrics: cannot listen on unix:%s: %w", path, err)
}

// removeStale complains about anything at path that is not the socket of a
// process that is gone.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("metrics: %w", err)
	}
	if info.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("metrics: %s is there and is not a socket: remove it or choose another path", path)
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		_ = c.Close()
		return fmt.Errorf("metrics: somebody listens on %s already: stop it or choose another path", path)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("metrics: %w", err)
	}
	return nil // the rename replaces it
}

// unixListener goes by the name that its socket has now, and removes it when it
// is closed first: later the name may be the next listener's.
type unixListener struct {
	*net.UnixListener
	path   string
	closed sync.Once
}

func (l *unixListener) Addr() net.Addr { return &net.UnixAddr{Name: l.path, Net: "unix"} }

// Close is [net.Listener]'s. The socket goes while it still listens, for then
// nobody else can have put theirs there.
func (l *unixListener) Close() error {
	err := fmt.Errorf("metrics: %w", net.ErrClosed)
	l.closed.Do(func() {
		removed := os.Remove(l.path)
		if errors.Is(removed, fs.ErrNotExist) {
			removed = nil
		}
		err = errors.Join(l.UnixListener.Close(), removed)
	})
	return err
}
