package control

import (
	"fmt"
	"net"
	"os"
	"time"
)

// The service manager's side of Serve: two conventions of systemd, a few lines
// each, see sd_listen_fds(3) and sd_notify(3).

// notifyPatience is how long the manager has to make room for a message.
const notifyPatience = 2 * time.Second

// firstHanded is the first descriptor that the service manager hands over.
const firstHanded = 3

// notifyManager tells the service manager about this process, if there is one
// that wants to know, and sends it copies of files.
func notifyManager(state string, files ...*os.File) error {
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
	// A manager that does not read must not hold the host up.
	if err := conn.SetDeadline(time.Now().Add(notifyPatience)); err != nil {
		return fmt.Errorf("control: notify the service manager: %w", err)
	}
	if err := sendDatagram(conn, []byte(state), files); err != nil {
		return fmt.Errorf("control: notify the service manager: %w", err)
	}
	return nil
}
