package storm

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// A payload says whose it is, and everything in it is covered by a sum:
//
//	0   publisher   u32
//	4   index       u32   number of the message among its publisher's, from 0
//	8   length      u32   of the payload
//	12  sum         u32   CRC-32C of all but these four bytes
//	16  fill              from publisher and index
const minPayload = 16

// Publishers that are no participant of the storm.
const (
	poison = 0xffffffff // in claims that are aborted: nobody may ever see it
	marker = 0xfffffffe // the keeper's mark at the end of a round
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// fillPayload makes the payload of a message in b, which has its length.
func fillPayload(b []byte, publisher, index uint32) {
	binary.LittleEndian.PutUint32(b, publisher)
	binary.LittleEndian.PutUint32(b[4:], index)
	binary.LittleEndian.PutUint32(b[8:], uint32(len(b)))
	x := uint64(publisher)<<32 | uint64(index) | 1
	rest := b[minPayload:]
	for ; len(rest) >= 8; rest = rest[8:] {
		x *= 0x9E3779B97F4A7C15
		binary.LittleEndian.PutUint64(rest, x)
	}
	for i := range rest {
		rest[i] = byte(x >> (8 * i))
	}
	binary.LittleEndian.PutUint32(b[12:], sumOf(b))
}

func sumOf(b []byte) uint32 {
	return crc32.Update(crc32.Checksum(b[:12], castagnoli), castagnoli, b[minPayload:])
}

// readPayload returns whose payload it is, or what is wrong with it.
func readPayload(b []byte) (publisher, index uint32, err error) {
	if len(b) < minPayload {
		return 0, 0, fmt.Errorf("a payload of %d bytes: %x", len(b), b)
	}
	publisher, index = binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
	if n := binary.LittleEndian.Uint32(b[8:]); int(n) != len(b) {
		return 0, 0, fmt.Errorf("a payload of %d bytes says it has %d (publisher %d, index %d)", len(b), n, publisher, index)
	}
	if got, want := binary.LittleEndian.Uint32(b[12:]), sumOf(b); got != want {
		return 0, 0, fmt.Errorf("a torn payload of %d bytes (publisher %d, index %d): sum %#x, want %#x", len(b), publisher, index, got, want)
	}
	if publisher == poison {
		return 0, 0, fmt.Errorf("an aborted claim was delivered (publisher %d)", index)
	}
	return publisher, index, nil
}
