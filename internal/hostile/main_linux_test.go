package hostile

import (
	"testing"

	"github.com/shmbus/shmbus/bustest"
)

func TestMain(m *testing.M) {
	for name, run := range programs {
		bustest.Register(name, run)
	}
	bustest.Main(m)
}
