package control

import "os"

// Offsets in the members file. Member ids are below hostByte and not 0.
const (
	hostByte  = 1 << 62 // the host's witness, see HostLock
	idBits    = 62
	tagBits   = 16 // low bits of an id: which members file it was locked in
	fileTries = 16 // how often a file may be replaced while we lock it
)

// Member is this process's proof of life: a write lock on one byte of the
// members file, at an offset that is the member's id, held until Close or until
// the kernel closes it because the process died, however it died. Ids are random
// and never used again, so the lock of a dead member is never taken over.
//
// The low bits of an id name the inode it was locked in. If somebody replaces
// the members file, MemberAlive does not take a missing lock for a death.
//
// Used by one goroutine at a time.
type Member struct {
	dir *BusDir
	id  uint64
	// held are the locked files: the one joined in, then any that Check found
	// in its place.
	held []*os.File
}

// ID is the member's id: 62 bits, never 0.
func (m *Member) ID() uint64 { return m.id }

// Close ends the proof of life. Idempotent.
func (m *Member) Close() error {
	for _, f := range m.held {
		f.Close()
	}
	m.held = nil
	return nil
}

// memberTag folds an inode number into tagBits.
func memberTag(inode uint64) uint64 {
	return inode * 0x9E3779B97F4A7C15 >> (64 - tagBits)
}
