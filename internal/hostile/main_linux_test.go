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
	if err := flag.Set("test.parallel", "6"); err != nil { // most of them wait for most of their time
		panic(err)
	}
	bustest.Main(m)
}
