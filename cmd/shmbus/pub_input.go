package main

import (
	"context"
	"errors"
	"io"
	"os"
)

const (
	readSize   = 256 << 10 // one read of standard input
	readBlocks = 3         // blocks on their way between reader and publisher

	wholeChunkMin = 32 << 10 // chunks from here on are read whole
	wholeChunkMax = 8 << 20
)

// input reads standard input in a goroutine of its own, so that a signal is
// honoured while a read blocks. The goroutine ends with the process.
type input struct {
	full   chan block
	empty  chan []byte
	waited bool // the last next had to wait for input
}

type block struct {
	data []byte
	err  error
}

// newInput begins to read. With chunks large enough each block is one chunk, so
// that nothing has to be put together again; otherwise a block is what one read
// returns.
func newInput(chunk int) *input {
	in := &input{full: make(chan block, readBlocks), empty: make(chan []byte, readBlocks)}
	blockSize, read := readSize, io.Reader.Read
	if chunk >= wholeChunkMin && chunk <= wholeChunkMax {
		blockSize, read = chunk, readFull
	}
	for range readBlocks {
		in.empty <- make([]byte, blockSize)
	}
	go in.read(os.Stdin, read)
	return in
}

// readFull reads until b is full or the input ends.
func readFull(r io.Reader, b []byte) (int, error) {
	n, err := io.ReadFull(r, b)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}

func (in *input) read(r io.Reader, read func(io.Reader, []byte) (int, error)) {
	for buf := range in.empty {
		n, err := read(r, buf[:cap(buf)])
		in.full <- block{buf[:n], err}
		if err != nil {
			return
		}
	}
}

// next waits for the next block; more is false at the end of the input. The
// caller gives the block back with free.
func (in *input) next(ctx context.Context) (data []byte, more bool, err error) {
	in.waited = false
	var b block
	select {
	case b = <-in.full:
	default:
		in.waited = true
		select {
		case b = <-in.full:
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
	if b.err != nil && !errors.Is(b.err, io.EOF) {
		return nil, false, b.err
	}
	return b.data, b.err == nil, nil
}

// free gives a block back to the reader.
func (in *input) free(b []byte) { in.empty <- b }
