package shm

import (
	"bytes"
	"testing"
)

func TestWords(t *testing.T) {
	b := AlignedBytes(8192)
	if address(b)%4096 != 0 || len(b) != 8192 {
		t.Fatalf("AlignedBytes: %d bytes at %#x", len(b), address(b))
	}
	w := Overlay[Word64](b, 8)
	w.Store(1 << 40)
	if w.Load() != 1<<40 || b[13] != 1 {
		t.Fatal("Word64.Store did not reach the bytes it overlays, little-endian")
	}
	if w.CompareAndSwap(1, 2) || !w.CompareAndSwap(1<<40, 2) || w.Add(3) != 5 || w.Or(8) != 5 || w.And(^uint64(1)) != 13 || w.Load() != 12 {
		t.Fatal("Word64 operations")
	}
	w.Set(7)
	v := Overlay[Word32](b, 20)
	StoreBoth(w, 9, v, 10)
	if w.Load() != 9 || v.Load() != 10 || v.Swap(3) != 10 || v.Add(1) != 4 || v.Or(3) != 4 || !v.CompareAndSwap(7, 1) {
		t.Fatal("Word32 operations")
	}
	FenceFull()
	FenceLoadLoad()
	FenceStoreStore()
	Pause(3)
}

func TestOverlayRefusesWhatDoesNotFit(t *testing.T) {
	b := AlignedBytes(64)
	for name, off := range map[string]int{"negative": -8, "past the end": 64, "across the end": 60, "misaligned": 4} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Fatalf("Overlay at %d did not panic", off)
				}
			}()
			Overlay[Word64](b, off)
		})
	}
}

func TestSpanCopies(t *testing.T) {
	b := AlignedBytes(256)
	s := NewSpan(b)
	for n := range 64 {
		src := bytes.Repeat([]byte{byte(n + 1)}, n)
		s.CopyIn(32, src)
		dst := make([]byte, n)
		s.CopyOut(dst, 32)
		if !bytes.Equal(src, dst) || !bytes.Equal(s.Bytes(32, uint64(n)), src) || b[31] != 0 {
			t.Fatalf("a copy of %d bytes came back as %x", n, dst)
		}
	}
	if s.Len() != 256 || cap(s.Bytes(0, 8)) != 8 {
		t.Fatal("span bounds")
	}
}

// TestSpanCopiesAllSizes: each way to copy, at its edges.
func TestSpanCopiesAllSizes(t *testing.T) {
	const room = 1<<16 + 64
	b := AlignedBytes(room)
	s := NewSpan(b)
	src := make([]byte, room)
	for i := range src {
		src[i] = byte(i*7 + i>>8 + 1)
	}
	for _, n := range []int{127, 128, 129, 136, 2047, 4088, 4095, 4096, 4097, 65536} {
		for _, at := range []int{0, 1, 8} {
			clear(b)
			s.CopyIn(32, src[at:at+n])
			padded := (n + 7) &^ 7
			if !bytes.Equal(b[32:32+n], src[at:at+n]) || b[31] != 0 || b[32+padded] != 0 {
				t.Errorf("%d bytes from offset %d arrived otherwise", n, at)
			}
		}
	}
}
