//go:build failpoint && !linux

package failpoint

import (
	"fmt"
	"os"
	"runtime"
)

func kill() {
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	if err != nil {
		panic(fmt.Sprintf("failpoint: kill of the own process: %v", err))
	}
}

func stop() {
	panic("failpoint: the action `stop` is not available on " + runtime.GOOS)
}
