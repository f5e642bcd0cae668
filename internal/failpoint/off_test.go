//go:build !failpoint

package failpoint

import "testing"

func TestOrdinaryBuildIgnoresSettings(t *testing.T) {
	t.Setenv("SHMBUS_FAILPOINTS", "x=on,y=kill")
	if Compiled {
		t.Error("Compiled is true without the build tag")
	}
	if Enabled("x") {
		t.Error("Enabled(x) is true without the build tag")
	}
	Hit("y")
}
