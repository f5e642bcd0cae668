package hostile

import (
	"flag"
	"testing"

	"github.com/shmbus/shmbus/bustest"
)

func TestMain(m *testing.M) {
	for name, run := range programs {
		bustest.Register(name, run)
	}
	flag.Parse()
	// Most of them wait for most of their time, but each is half a dozen
	// processes that publish and read: more would be in each other's way.
	if err := flag.Set("test.parallel", "3"); err != nil {
		panic(err)
	}
	bustest.Main(m)
}
