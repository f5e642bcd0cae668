package ring

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
)

// The benchmarks are of one process: what an operation costs, without what it
// costs to move lines between processors. Messages are checked, by number.

func benchmarkRoom(b *testing.B, fenced bool) *room {
	return newHeapRoom(b, Options{Capacity: 1 << 20, Fenced: fenced})
}

// BenchmarkPublish is one producer, by its bias, and nobody who reads.
func BenchmarkPublish(b *testing.B) {
	for _, fenced := range []bool{false, true} {
		for _, size := range []int{64, 1024, 16 << 10} {
			b.Run(fmt.Sprintf("producers=1/size=%d/fenced=%t", size, fenced), func(b *testing.B) {
				p, payload := benchmarkRoom(b, fenced).local(0), make([]byte, size)
				b.SetBytes(int64(size))
				for b.Loop() {
					if _, err := p.TryPublish(payload, 0, 0); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkBatch publishes 64 messages an entry; a round is a batch.
func BenchmarkBatch(b *testing.B) {
	p := benchmarkRoom(b, false).local(0)
	batch := make([][]byte, 64)
	for i := range batch {
		batch[i] = make([]byte, 64)
	}
	b.SetBytes(64 * 64)
	for b.Loop() {
		if _, err := p.PublishBatch(context.Background(), batch, 0, 0, false); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkClaim fills nothing: what it costs to claim and commit.
func BenchmarkClaim(b *testing.B) {
	for _, size := range []int{64, 16 << 10} {
		b.Run(fmt.Sprintf("producers=1/size=%d", size), func(b *testing.B) {
			p := benchmarkRoom(b, false).local(0)
			b.SetBytes(int64(size))
			for b.Loop() {
				c, err := p.TryClaim(size, 0, 0)
				if err == nil {
					err = c.Commit()
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkThere is publish and consume in turn on one goroutine.
func BenchmarkThere(b *testing.B) {
	for _, mode := range []Mode{Reliable, Lossy} {
		for _, size := range []int{64, 1024, 16 << 10} {
			b.Run(fmt.Sprintf("mode=%s/size=%d", mode, size), func(b *testing.B) {
				r := benchmarkRoom(b, false)
				p, c, payload := r.local(0), r.localConsumer(0, SubscriberSpec{Mode: mode}), make([]byte, size)
				b.SetBytes(int64(size))
				for b.Loop() {
					_, err := p.TryPublish(payload, 0, 0)
					if err == nil {
						_, err = c.Next()
					}
					if err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkStream is producers and one consumer at once; a round is a message
// delivered.
func BenchmarkStream(b *testing.B) {
	for _, producers := range []int{1, 2, 4} {
		for _, wait := range []WaitStrategy{Adaptive, Spin, Park} {
			name := map[WaitStrategy]string{Adaptive: "adaptive", Spin: "spin", Park: "park"}[wait]
			b.Run(fmt.Sprintf("producers=%d/size=64/wait=%s", producers, name), func(b *testing.B) {
				if producers+1 > runtime.NumCPU() {
					b.Logf("%d goroutines share %d processors", producers+1, runtime.NumCPU())
				}
				benchmarkStream(b, producers, wait)
			})
		}
	}
}

func benchmarkStream(b *testing.B, producers int, wait WaitStrategy) {
	r := benchmarkRoom(b, false)
	c := r.localConsumer(0, SubscriberSpec{})
	c.options.Wait = wait
	ctx, stop := context.WithCancel(context.Background())
	var work sync.WaitGroup
	for i := range producers {
		p := r.local(i)
		work.Go(func() {
			payload := make([]byte, 64)
			for n := uint64(0); ctx.Err() == nil; n++ {
				fill(payload, p.slot, n)
				if _, err := p.Publish(ctx, payload, 0, 0); err != nil && ctx.Err() == nil {
					b.Error(err)
					return
				}
			}
		})
	}
	next := make([]uint64, producers)
	b.SetBytes(64)
	for b.Loop() {
		m, err := c.Next()
		for err == ErrEmpty {
			if err = c.Wait(ctx, nil); err == nil {
				m, err = c.Next()
			}
		}
		if err != nil {
			b.Fatal(err)
		}
		if slot, n, err := check(m.Payload); err != nil || n != next[slot] {
			b.Fatalf("message %d of %d, want %d: %v", n, slot, next[slot], err)
		}
		next[m.Publisher]++
	}
	stop()
	work.Wait()
}
