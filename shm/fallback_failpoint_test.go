//go:build failpoint && linux

package shm

import (
	"testing"

	"github.com/shmbus/shmbus/internal/failpoint"
	"golang.org/x/sys/unix"
)

// Each of these runs a child whose kernel seems to lack a feature: failpoints are read once, at program start.

func withFailpoint(t *testing.T, test, failpoint string) {
	t.Helper()
	startChild(t, test, nil, "SHMBUS_FAILPOINTS="+failpoint+"=on").succeed()
}

func TestWithoutNoexecSeal(t *testing.T) {
	withFailpoint(t, "TestNoexecSealChild", "shm.noexecseal")
}

func TestNoexecSealChild(t *testing.T) {
	onlyAsChild(t)
	r := newRegion(t, page)
	seals, err := r.seals()
	if err != nil || seals != 0 {
		t.Fatalf("got seals %s, error %v; want none: the failpoint was not reached", sealNames(seals), err)
	}
	if err := r.Seal(); err != nil {
		t.Fatal(err)
	}
	if err := r.Check(page); err != nil {
		t.Error(err)
	}
	if mode := stat(t, r.File()).Mode & 0o7777; mode != 0o600 {
		t.Errorf("got mode %#o, want 0600: the memfd was born executable", mode)
	}
}

// The counterpart: with the feature, the file can never become executable.
func TestNoexecSeal(t *testing.T) {
	if failpoint.Enabled("shm.noexecseal") {
		t.Skip("this run takes the feature away")
	}
	fd, err := unix.MemfdCreate("probe", unix.MFD_CLOEXEC|unix.MFD_NOEXEC_SEAL)
	if err != nil {
		t.Skipf("kernel before 6.3: %v", err)
	}
	_ = unix.Close(fd)
	r := sealedRegion(t, page)
	if seals, err := r.seals(); err != nil || seals != sealsRequired|unix.F_SEAL_EXEC {
		t.Errorf("got seals %s, error %v; want SHRINK|GROW|SEAL|EXEC", sealNames(seals), err)
	}
	if err := r.Check(page); err != nil {
		t.Error(err)
	}
	if err := unix.Fchmod(int(r.File().Fd()), 0o700); err != unix.EPERM {
		t.Errorf("chmod 0700: got %v, want EPERM", err)
	}
}

func TestWithoutWaitMany(t *testing.T) {
	for _, test := range []string{"TestWaitManyChild", "TestFutex.*", "TestPrivateAndSharedWaitsAreApart"} {
		withFailpoint(t, test, "shm.waitv")
	}
}

func TestWaitManyChild(t *testing.T) {
	onlyAsChild(t)
	hangGuard(t)
	if HaveWaitMany() {
		t.Fatal("HaveWaitMany is true: the failpoint was not reached")
	}
	words, waits := waitsOf(MaxWaits)
	wantNil(t, "nothing for longer than a slice", FutexWaitMany(waits, 2*hangLimit))
	result := later(func() error {
		for words[MaxWaits-1].Load() == 0 { // sync(futex-test-fallback): pairs with the store below
			if err := FutexWaitMany(waits, long); err != nil {
				return err
			}
		}
		return nil
	})
	words[MaxWaits-1].Store(1) // sync(futex-test-fallback): pairs with the load above
	wantNil(t, "the last word changed without a wake", <-result)
}

func TestWithoutMembarrier(t *testing.T) {
	withFailpoint(t, "TestMembarrierChild", "shm.membarrier")
}

func TestMembarrierChild(t *testing.T) {
	onlyAsChild(t)
	if HaveMembarrier() {
		t.Fatal("HaveMembarrier is true: the failpoint was not reached")
	}
	wantError(t, RegisterMembarrier(), ErrNoMembarrier)
	wantError(t, Membarrier(), ErrNoMembarrier)
	wantError(t, MembarrierProcess(), ErrNoMembarrier)
}
