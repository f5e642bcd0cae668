package model

import "math/bits"

// table is the set of states seen, by 64-bit hash, with their numbers. Two
// states of one hash would be taken for one: at 30 million states the odds
// that it happens at all are 5·10⁻⁵.
type table struct {
	hashes  []uint64
	numbers []uint32
	n       int
}

func newTable() table {
	return table{hashes: make([]uint64, 1<<16), numbers: make([]uint32, 1<<16)}
}

// insert returns the number of the state with this hash, which is number if it
// is new.
func (t *table) insert(hash uint64, number uint32) (uint32, bool) {
	hash |= 1 // 0 means empty
	if t.n*3 > len(t.hashes)*2 {
		t.grow()
	}
	mask := uint64(len(t.hashes) - 1)
	for k := bits.RotateLeft64(hash, 32) & mask; ; k = (k + 1) & mask {
		switch t.hashes[k] {
		case 0:
			t.hashes[k], t.numbers[k] = hash, number
			t.n++
			return number, true
		case hash:
			return t.numbers[k], false
		}
	}
}

func (t *table) grow() {
	old := *t
	*t = table{hashes: make([]uint64, 2*len(old.hashes)), numbers: make([]uint32, 2*len(old.hashes)), n: old.n}
	mask := uint64(len(t.hashes) - 1)
	for i, h := range old.hashes {
		if h == 0 {
			continue
		}
		k := bits.RotateLeft64(h, 32) & mask
		for t.hashes[k] != 0 {
			k = (k + 1) & mask
		}
		t.hashes[k], t.numbers[k] = h, old.numbers[i]
	}
}
