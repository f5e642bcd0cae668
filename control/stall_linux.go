package control

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// kill ends the process, whichever pid it has by now: the pidfd names it.
func (p *Peer) kill() error {
	raw, err := p.PIDFD.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = unix.PidfdSendSignal(int(fd), unix.SIGKILL, nil, 0) })
	if err = errors.Join(err, failed); err != nil {
		return fmt.Errorf("control: kill pid %d: %w", p.PID, err)
	}
	return nil
}
