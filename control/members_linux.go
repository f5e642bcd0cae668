package control

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// maxMembersFiles bounds the replaced members files that a BusDir still asks.
const maxMembersFiles = 8

// JoinMembers takes a new member id and holds its lock.
//
// Errors: ErrGuest, ErrPermission, ErrNoDescriptors, ErrNoBus (the directory was
// removed), ErrLockLost.
func (d *BusDir) JoinMembers() (*Member, error) {
	if d.guest {
		return nil, fmt.Errorf("%w: be a member in %s; a guest is judged by its connection alone", ErrGuest, d.path)
	}
	var id uint64
	f, ok, err := d.lockFile(MembersName, func(f *os.File) (bool, error) {
		for range fileTries {
			inode, err := inodeOf(f)
			if err != nil {
				return false, err
			}
			id = newMemberID(inode)
			if ok, err := lockByte(f, id); ok || err != nil {
				return ok, err
			}
		}
		return false, nil
	})
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("%w: no member id in %s/%s can be locked", ErrLockLost, d.path, MembersName)
	}
	return &Member{dir: d, id: id, held: []*os.File{f}}, nil
}

// Check takes the lock again, under the same id, if the members file was
// replaced. A member calls it every now and then.
//
// Errors: ErrLockLost, ErrClosed and those of JoinMembers.
func (m *Member) Check() error {
	if len(m.held) == 0 {
		return fmt.Errorf("member %d of %s: %w", m.id, m.dir.path, ErrClosed)
	}
	newest := m.held[len(m.held)-1]
	same, err := m.dir.current(newest, MembersName)
	if same || err != nil {
		return err
	}
	f, ok, err := m.dir.lockFile(MembersName, func(f *os.File) (bool, error) { return lockByte(f, m.id) })
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%w: somebody else holds member id %d in the new %s/%s", ErrLockLost, m.id, m.dir.path, MembersName)
	}
	// The first stays, for those who still have it open; of the others only the newest.
	for len(m.held) > 1 {
		m.held[1].Close()
		m.held = append(m.held[:1], m.held[2:]...)
	}
	m.held = append(m.held, f)
	return nil
}

// MemberAlive asks the kernel whether a member holds its lock. It never blocks.
//
// Errors: ErrMalformed (no member can have this id), ErrLockLost: the members
// file in which the id was locked is not there any more, so a missing lock
// proves nothing. Take the member for alive then. After any other error too.
func (d *BusDir) MemberAlive(id uint64) (bool, error) {
	if id>>tagBits == 0 || id >= 1<<idBits {
		return false, fmt.Errorf("%w: %#x is not a member id", ErrMalformed, id)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.openMembers(); err != nil {
		return false, err
	}
	known := false
	for _, f := range d.members {
		inode, err := inodeOf(f)
		if err != nil {
			return false, err
		}
		locked, err := byteLocked(f, id)
		if err != nil || locked {
			return locked, err
		}
		known = known || memberTag(inode) == id&(1<<tagBits-1)
	}
	if !known {
		return false, fmt.Errorf("%w: member %#x was locked in another %s/%s than the one there", ErrLockLost, id, d.path, MembersName)
	}
	return false, nil
}

// openMembers sees to it that the last of d.members is the file under its name.
// The ones before, replaced since, are asked too. Called with d.mu held.
func (d *BusDir) openMembers() error {
	if n := len(d.members); n > 0 {
		same, err := d.current(d.members[n-1], MembersName)
		if same || err != nil {
			return err
		}
	}
	f, err := d.openFile(MembersName, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	d.members = append(d.members, f)
	if len(d.members) > maxMembersFiles {
		d.members[0].Close()
		d.members = d.members[1:]
	}
	return nil
}

func newMemberID(inode uint64) uint64 {
	for {
		var b [8]byte
		rand.Read(b[:]) // never fails
		id := binary.LittleEndian.Uint64(b[:])&(1<<idBits-1)&^(1<<tagBits-1) | memberTag(inode)
		if id>>tagBits != 0 {
			return id
		}
	}
}

func inodeOf(f *os.File) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return 0, fmt.Errorf("control: stat %s: %w", f.Name(), err)
	}
	return st.Ino, nil
}

// lockByte takes the write lock of one byte for this open file, see fcntl(2),
// "open file description locks". false if another open file has it.
func lockByte(f *os.File, offset uint64) (bool, error) {
	l := unix.Flock_t{Type: unix.F_WRLCK, Whence: 0, Start: int64(offset), Len: 1}
	err := unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &l)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("control: lock byte %#x of %s: %w", offset, f.Name(), err)
	}
	return true, nil
}

// byteLocked asks whether another open file has the lock of that byte.
func byteLocked(f *os.File, offset uint64) (bool, error) {
	l := unix.Flock_t{Type: unix.F_WRLCK, Whence: 0, Start: int64(offset), Len: 1}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &l); err != nil {
		return false, fmt.Errorf("control: ask for the lock of byte %#x of %s: %w", offset, f.Name(), err)
	}
	return l.Type != unix.F_UNLCK, nil
}
