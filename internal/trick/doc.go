// Package trick lets a benchmark do without what makes the ring fast, one thing at a time, to see what it buys.
//
//	SHMBUS_TRICKS_OFF=bias,pauses  ./program built with -tags shmbus_tricks
//	        │
//	        ▼ read once, at program start
//	if trick.Bias { … }            false: the code beside it does without
//
// Without the build tag `shmbus_tricks` the environment is not read and each trick is the constant true, so that the
// compiler leaves nothing of the question in the program. What a trick does is said where it is done.
//
// With a name in the variable that is none of Names the program panics at its start: a measurement of nothing must not
// pass for one.
package trick

// Variable is the environment variable that names the tricks to do without, separated by commas.
const Variable = "SHMBUS_TRICKS_OFF"
