//go:build !linux

package control

// TryHostLock works on Linux only.
func (d *BusDir) TryHostLock() (lock *HostLock, ok bool, err error) {
	return nil, false, unsupported("host a bus")
}

// Check works on Linux only.
func (l *HostLock) Check() error { return unsupported("host a bus") }

// Release does nothing: there is no lock.
func (l *HostLock) Release() error { return nil }

// HostPID works on Linux only.
func (d *BusDir) HostPID() int { return 0 }
