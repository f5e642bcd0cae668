package bench

import "errors"

// Errors of choosing what to run.
var (
	// ErrNothing: no mechanism can do what was asked for. Ask for less.
	ErrNothing = errors.New("bench: nothing to measure")
	// ErrUnknown: a mechanism, pattern or wait of this name does not exist.
	ErrUnknown = errors.New("bench: unknown name")
	// ErrNoPeers: a program of bench/peers is to be measured, and nobody said
	// where they are.
	ErrNoPeers = errors.New("bench: programs of bench/peers without their directory")
)

// Errors of a run.
var (
	// ErrActor: an actor failed; its last words are in the text.
	ErrActor = errors.New("bench: an actor failed")
	// ErrWrong: a message arrived that is not the one expected, or a sum
	// differs. The mechanism, or its driver here, is broken.
	ErrWrong = errors.New("bench: wrong message")
	// ErrHung: an actor did not get on within the watchdog's time.
	ErrHung = errors.New("bench: an actor hangs")
)
