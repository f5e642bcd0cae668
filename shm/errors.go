package shm

import "errors"

// ErrUnsupported is errors.ErrUnsupported: this operating system has no memfd, futex or membarrier. Use Linux.
var ErrUnsupported = errors.ErrUnsupported

// Creating and allocating a region.
var (
	// ErrArgument: the caller passed a value outside the documented range. It is a bug in the caller.
	ErrArgument = errors.New("shm: argument out of range")
	// ErrNoMemory: the kernel has no memory left for the region, or a limit is reached. Ask for a smaller region, or
	// raise the limit that the text names.
	ErrNoMemory = errors.New("shm: no memory for the region")
)

// Receiving a region.
var (
	// ErrNotMemfd: the descriptor is not a memfd, so its size cannot be sealed and an access may fault. Whoever sent
	// it is not a host of this bus, or is broken: close the connection.
	ErrNotMemfd = errors.New("shm: not a memfd")
	// ErrUnsealed: the region has not exactly the seals SHRINK, GROW and SEAL, so a peer could still shrink it and make
	// every access fault, or nobody could ever map it writable. Do not map it; close the connection to the sender.
	ErrUnsealed = errors.New("shm: wrong seals")
	// ErrSize: the region is not of the size it has to be. Do not map it; close the connection to the sender.
	ErrSize = errors.New("shm: wrong size")
	// ErrReadOnly: a writable mapping was asked for, but the descriptor was opened for reading only. The sender decided
	// that this process may only read: map it read-only.
	ErrReadOnly = errors.New("shm: region was opened for reading only")
)

// Waiting.
var (
	// ErrTimeout: the time is over and nobody woke the caller. Look at the words again, then wait again or give up.
	ErrTimeout = errors.New("shm: wait timed out")
	// ErrNoMembarrier: the kernel lacks membarrier(GLOBAL_EXPEDITED), or a sandbox (seccomp, gVisor) forbids it. Use
	// full fences on both sides instead (the bus: a host started with `shmbus serve --fenced`).
	ErrNoMembarrier = errors.New("shm: membarrier is not available")
)
