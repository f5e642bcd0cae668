//go:build !linux

package control

import (
	"context"
	"net"
	"os"
)

// Listen works on Linux only.
func Listen(*BusDir) (*Listener, error) { return nil, unsupported("listen") }

// ListenerFromFile works on Linux only. It closes f.
func ListenerFromFile(f *os.File) (*Listener, error) {
	f.Close()
	return nil, unsupported("listen")
}

func dialUnix(context.Context, *BusDir) (*net.UnixConn, error) { return nil, unsupported("connect") }
