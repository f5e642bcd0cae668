//go:build !linux

package control

import "syscall"

func passRights(syscall.RawConn, bool) bool { return false }

func (c *Conn) shutDown() { c.Close() }
