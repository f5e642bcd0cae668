package control

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/shmbus/shmbus/shm"
)

// maxLiveMembers bounds what liveMembers returns.
const maxLiveMembers = 16 << 10

// liveMembers lists who holds a member lock now. The kernel names some lock in a
// range, so one question finds a member and splits the range in two.
func (d *BusDir) liveMembers() ([]uint64, error) {
	f, err := d.openFile(MembersName, 0)
	if errors.Is(err, unix.ENOENT) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	type span struct{ from, to int64 }
	var ids []uint64
	for spans := []span{{1, hostByte}}; len(spans) > 0 && len(ids) < maxLiveMembers; {
		s := spans[len(spans)-1]
		spans = spans[:len(spans)-1]
		if s.from >= s.to {
			continue
		}
		l := unix.Flock_t{Type: unix.F_WRLCK, Whence: 0, Start: s.from, Len: s.to - s.from}
		if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &l); err != nil {
			return nil, fmt.Errorf("control: list the locks of %s: %w", f.Name(), err)
		}
		if l.Type == unix.F_UNLCK {
			continue
		}
		ids = append(ids, uint64(l.Start))
		spans = append(spans, span{s.from, l.Start}, span{l.Start + 1, s.to})
	}
	return ids, nil
}

// allocatedBytes returns the memory that a region has now; 0 for nil.
func allocatedBytes(r *shm.Region) int64 {
	var st unix.Stat_t
	if r == nil || unix.Fstat(int(r.File().Fd()), &st) != nil {
		return 0
	}
	return st.Blocks * 512
}

// fileIdentity tells memfds apart, and who made them.
type fileIdentity struct {
	device, inode uint64
	uid           uint32
}

func identify(f *os.File) (fileIdentity, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return fileIdentity{}, fmt.Errorf("control: stat %s: %w", f.Name(), err)
	}
	return fileIdentity{device: uint64(st.Dev), inode: st.Ino, uid: st.Uid}, nil
}
