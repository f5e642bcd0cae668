package control

import "os"

// HostLock is the right to host a bus: whoever holds it is the host, and the
// kernel lets go of it when its process dies.
//
// It is two locks, so that removing a file does not make a second host:
//
//	host.lock   flock(LOCK_EX)                what others try for
//	members     OFD write lock at hostByte    the witness
//
// Somebody unlinks host.lock while the host holds it: the next contender makes
// and locks a new inode, then fails at the witness, lets go, and joins. The
// host's next Check takes the new host.lock too. Only if both files are replaced
// can two processes believe that they host; Check then fails with ErrLockLost in
// whichever finds both taken, and that one steps down.
//
// Used by one goroutine at a time.
type HostLock struct {
	dir     *BusDir
	lock    *os.File
	witness *os.File
}
