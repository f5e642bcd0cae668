package control

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/shmbus/shmbus/internal/failpoint"
)

// soPassRights is SO_PASSRIGHTS, of Linux 6.16.
const soPassRights = 83

// passRights says whether a socket takes descriptors: to who sends some to one that does
// not, the kernel says EPERM. Of a listening socket, connections inherit it. False: this
// kernel does not know it, and they come.
func passRights(raw syscall.RawConn, take bool) bool {
	if failpoint.Enabled("control.passrights") {
		return false
	}
	value := 0
	if take {
		value = 1
	}
	var failed error
	err := raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, soPassRights, value) })
	return errors.Join(err, failed) == nil
}

// shutDown ends the connection as Close does, and keeps the descriptor.
func (c *Conn) shutDown() {
	c.once.Do(func() { close(c.closed) })
	// An error: it has ended already.
	_ = c.raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_RDWR) })
}
