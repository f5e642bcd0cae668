//go:build !(linux && amd64)

package steps

import (
	"runtime"
	"testing"
)

func TestEnumeratedDeath(t *testing.T) {
	t.Skipf("single steps are read as amd64 instructions on Linux; this is %s/%s", runtime.GOOS, runtime.GOARCH)
}
