//go:build !linux

package control

import (
	"errors"
	"os"

	"github.com/shmbus/shmbus/shm"
)

func (d *BusDir) liveMembers() ([]uint64, error) { return nil, errors.ErrUnsupported }

func allocatedBytes(*shm.Region) int64 { return 0 }

type fileIdentity struct {
	device, inode uint64
	uid           uint32
}

func identify(*os.File) (fileIdentity, error) { return fileIdentity{}, errors.ErrUnsupported }
