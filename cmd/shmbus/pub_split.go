package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// splitter cuts input into messages.
type splitter interface {
	// next returns the first message in data and how many bytes of data it took,
	// or 0 bytes when data holds no whole message. end says that nothing follows
	// data. Each call starts where the last message ended; data grows only.
	next(data []byte, end bool) (message []byte, used int, err error)
}

func (o *pubOptions) splitter(limit int) splitter {
	switch {
	case o.chunk > 0:
		return &chunks{size: int(o.chunk)}
	case o.prefixed:
		return &prefixed{limit: limit}
	}
	return &lines{limit: limit}
}

// lines cuts at newlines, which are not part of the message. A last line needs none.
type lines struct {
	limit   int // largest message
	number  int // lines given
	scanned int // bytes of data known to hold no newline
}

func (l *lines) next(data []byte, end bool) ([]byte, int, error) {
	i := bytes.IndexByte(data[l.scanned:], '\n')
	if i < 0 && !(end && len(data) > 0) {
		l.scanned = len(data)
		if len(data) > l.limit {
			return nil, 0, l.tooLong()
		}
		return nil, 0, nil
	}
	size, used := len(data), len(data)
	if i >= 0 {
		size, used = l.scanned+i, l.scanned+i+1
	}
	if size > l.limit {
		return nil, 0, l.tooLong()
	}
	l.scanned = 0
	l.number++
	return data[:size], used, nil
}

func (l *lines) tooLong() error {
	return fmt.Errorf("line %d is longer than the largest message of this topic, %d bytes; publish it with --chunk, or with a larger --capacity on a new topic",
		l.number+1, l.limit)
}

// chunks cuts every size bytes; the last message may be shorter.
type chunks struct{ size int }

func (c *chunks) next(data []byte, end bool) ([]byte, int, error) {
	if len(data) >= c.size {
		return data[:c.size], c.size, nil
	}
	if end && len(data) > 0 {
		return data, len(data), nil
	}
	return nil, 0, nil
}

// prefixed reads a length (u32, little-endian), then so many bytes.
type prefixed struct {
	limit  int
	number int
}

const prefixSize = 4

func (p *prefixed) next(data []byte, end bool) ([]byte, int, error) {
	if len(data) == 0 {
		return nil, 0, nil
	}
	if len(data) < prefixSize {
		if end {
			return nil, 0, fmt.Errorf("the input ends inside the length of message %d: want %d bytes, got %d", p.number+1, prefixSize, len(data))
		}
		return nil, 0, nil
	}
	size := uint64(binary.LittleEndian.Uint32(data))
	if size > uint64(p.limit) {
		return nil, 0, fmt.Errorf("message %d has %d bytes, more than the largest message of this topic, %d bytes; use a larger --capacity on a new topic",
			p.number+1, size, p.limit)
	}
	if have := uint64(len(data) - prefixSize); have < size {
		if end {
			return nil, 0, fmt.Errorf("the input ends inside message %d: want %d bytes, got %d", p.number+1, size, have)
		}
		return nil, 0, nil
	}
	p.number++
	return data[prefixSize : prefixSize+size], prefixSize + int(size), nil
}
