//go:build !linux

package control

// Credentials works on Linux only.
func Credentials(*Conn) (*Peer, error) { return nil, unsupported("credentials") }

// Exited works on Linux only.
func (p *Peer) Exited() bool { return false }

func (p *Peer) waitReadable() error { return unsupported("wait for an exit") }

func (c *Conn) credentials() (uid, gid uint32, pid int32, err error) {
	return 0, 0, 0, unsupported("credentials")
}
