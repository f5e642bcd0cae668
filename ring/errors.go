package ring

import (
	"errors"
	"fmt"
)

// Errors of making and opening a ring.
var (
	// ErrBadOptions: the options ask for a ring that cannot be; the error says
	// which one and what would do.
	ErrBadOptions = errors.New("ring: bad options")
	// ErrNotRing: the region holds no ring (no magic, or too short for a header).
	ErrNotRing = errors.New("ring: not a ring")
	// ErrLayoutVersion: the ring was laid out by another version of the
	// software; both versions are named. Use programs of one version.
	ErrLayoutVersion = errors.New("ring: layout version mismatch")
	// ErrBadStart: a subscriber asked to start at a sequence the topic has not
	// reached.
	ErrBadStart = errors.New("ring: start is beyond the end of the topic")
	// ErrNoBarrier: the ring's lock relies on membarrier(2), which this process
	// may not use (seccomp, gVisor). Serve the bus with fences instead.
	ErrNoBarrier = errors.New("ring: membarrier is not available")
	// ErrNoSlot: the slot does not exist, or is not granted to this generation.
	ErrNoSlot = errors.New("ring: no such slot")
)

// Errors of publishing.
var (
	// ErrFull: a reliable subscriber, or a claim not yet committed, holds the
	// space the message needs. Try again, wait, or drop the message.
	ErrFull = errors.New("ring: full")
	// ErrTooLarge: the message exceeds a quarter of the ring less a record
	// header; the limit is named. Make the topic with a larger capacity.
	ErrTooLarge = errors.New("ring: message too large")
	// ErrOrphaned: the claim is no longer ours: the host took this publisher
	// for dead and aborted it. Nothing was published.
	ErrOrphaned = errors.New("ring: claim was aborted by the host")
)

// Errors of consuming.
var (
	// ErrEmpty: there is nothing to read now. Not a failure.
	ErrEmpty = errors.New("ring: empty")
	// ErrDetached: this reliable subscriber no longer holds publishers back
	// (it lagged beyond its limit, or the host took it for gone): the previous
	// view may have been overwritten. Subscribe anew.
	ErrDetached = errors.New("ring: subscriber was detached")
)

// Errors of both.
var (
	// ErrClosed: Interrupt or Close was called.
	ErrClosed = errors.New("ring: closed")
	// ErrCorrupt: the shared bytes contradict themselves; a *CorruptError says
	// where. Nothing out of bounds was read.
	ErrCorrupt = errors.New("ring: corrupt")
	// ErrStalled: the context ended while a participant that is alive held the
	// lock; a *StalledError names it. As a rule it is stopped, or has no
	// processor; where many publish, it may just have been busy. It is never
	// robbed: try again, continue it or kill it.
	ErrStalled = errors.New("ring: lock held by a stopped participant")
)

// CorruptError says which shared bytes are not what they must be.
type CorruptError struct {
	Region string // "log", "cursors" or "guests"
	Offset uint64 // bytes into the region
	Got    uint64
	Want   string
}

func (e *CorruptError) Error() string {
	return fmt.Sprintf("ring: corrupt: %s region, offset %#x: got %#x, want %s", e.Region, e.Offset, e.Got, e.Want)
}

// Is reports that a CorruptError is [ErrCorrupt].
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// StalledError names the participant that holds the lock.
type StalledError struct {
	Slot  int    // publisher slot
	Name  string // its given name, or ""
	Cause error  // the context's error
}

func (e *StalledError) Error() string {
	who := fmt.Sprintf("publisher slot %d", e.Slot)
	if e.Name != "" {
		who = fmt.Sprintf("publisher %q (slot %d)", e.Name, e.Slot)
	}
	return fmt.Sprintf("ring: stalled: the lock is held by %s: %v", who, e.Cause)
}

// Is reports that a StalledError is [ErrStalled].
func (e *StalledError) Is(target error) bool { return target == ErrStalled }

// Unwrap returns the context's error.
func (e *StalledError) Unwrap() error { return e.Cause }
