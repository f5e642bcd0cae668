//go:build !linux

package control

// JoinMembers works on Linux only.
func (d *BusDir) JoinMembers() (*Member, error) { return nil, unsupported("join a bus") }

// Check works on Linux only.
func (m *Member) Check() error { return unsupported("join a bus") }

// MemberAlive works on Linux only.
func (d *BusDir) MemberAlive(uint64) (bool, error) { return false, unsupported("ask for a member") }
