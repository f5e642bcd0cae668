package main

import (
	"golang.org/x/sys/unix"

	"github.com/shmbus/shmbus/shm"
)

// readKernel asks the kernel what it can do by doing it.
func readKernel(f *machineFacts) {
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		f.release = unix.ByteSliceToString(u.Release[:])
	}
	if fd, err := unix.MemfdCreate("doctor", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING); err == nil {
		seal := func(seals int) bool {
			_, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
			return err == nil
		}
		f.memfdSeals = seal(unix.F_SEAL_SHRINK | unix.F_SEAL_GROW)
		f.futureWrite = seal(unix.F_SEAL_FUTURE_WRITE)
		unix.Close(fd)
	}
	if fd, err := unix.MemfdCreate("doctor", unix.MFD_CLOEXEC|unix.MFD_NOEXEC_SEAL); err == nil {
		f.noexecSeal = true
		unix.Close(fd)
	}
	f.futexWaitv, f.barrier, f.tsc = shm.HaveWaitMany(), shm.HaveMembarrier(), shm.TSCUsable()
	if fd, err := unix.PidfdOpen(unix.Getpid(), 0); err == nil {
		f.pidfd = true
		unix.Close(fd)
	}
	if pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0); err == nil {
		if fd, err := unix.GetsockoptInt(pair[0], unix.SOL_SOCKET, unix.SO_PEERPIDFD); err == nil {
			f.peerPIDFD = true
			unix.Close(fd)
		}
		unix.Close(pair[0])
		unix.Close(pair[1])
	}
	for _, l := range []struct {
		resource int
		soft     *uint64
	}{{unix.RLIMIT_NOFILE, &f.nofile}, {unix.RLIMIT_AS, &f.as}, {unix.RLIMIT_MEMLOCK, &f.memlock}} {
		var r unix.Rlimit
		if unix.Getrlimit(l.resource, &r) == nil {
			*l.soft = r.Cur
		}
	}
}

func readFilesystem(path string) (filesystem, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(path, &s); err != nil {
		return filesystem{}, err
	}
	size := uint64(s.Bsize)
	return filesystem{path: path, free: s.Bavail * size, total: s.Blocks * size, inodes: s.Ffree, counted: s.Files > 0}, nil
}
