//go:build !linux

package control

func (p *Peer) kill() error { return unsupported("kill") }
