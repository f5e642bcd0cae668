//go:build !linux

package control

import (
	"os"
	"time"
)

func (c *Conn) send(time.Time, []byte, []*os.File) error { return unsupported("send") }

func (c *Conn) receive() ([]byte, []*os.File, error) { return nil, nil, unsupported("receive") }
