//go:build !failpoint

package failpoint

// Compiled says whether this build knows failpoints (build tag `failpoint`).
const Compiled = false

// Enabled says whether the failpoint is set to `on`. In this build it never is.
func Enabled(name string) bool { return false }

// Hit performs the action the failpoint is set to. In this build there is none.
func Hit(name string) {}
