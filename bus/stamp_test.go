package bus

import (
	"testing"
	"time"

	"github.com/shmbus/shmbus/ring"
	"github.com/shmbus/shmbus/shm"
)

// BenchmarkStamp compares what gives a message its publish time with a bare
// reading of the counter, in turns so that both see the machine in one state.
func BenchmarkStamp(b *testing.B) {
	o := ring.Options{Capacity: ring.MinCapacity, Publishers: 1, Subscribers: 1, ID: 1, Fenced: true, Counter: shm.TSCUsable()}
	g, err := o.Geometry()
	if err != nil {
		b.Fatal(err)
	}
	log, cursors := shm.AlignedBytes(int(g.LogSize())), shm.AlignedBytes(int(g.CursorSize()))
	if err := ring.Format(log, cursors, o); err != nil {
		b.Fatal(err)
	}
	r, err := ring.Open(log, cursors, nil)
	if err != nil {
		b.Fatal(err)
	}
	const turn = 10_000
	s := newStamps(r, false)
	var bare, stamped time.Duration
	for b.Loop() {
		began := time.Now()
		for range turn {
			shm.TSC()
		}
		between := time.Now()
		for range turn {
			s.now()
		}
		bare += between.Sub(began)
		stamped += time.Since(between)
	}
	b.ReportMetric(float64(bare)/float64(b.N)/turn, "ns/counter")
	b.ReportMetric(float64(stamped)/float64(b.N)/turn, "ns/stamp")
	b.ReportMetric(float64(stamped)/float64(bare), "ratio")
}
