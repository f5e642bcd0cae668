package report

import "errors"

// Errors of reading and writing.
var (
	// ErrBadRow: a line is no row of shmbus bench -o json.
	ErrBadRow = errors.New("report: bad row")
	// ErrBadMarker: the document's markers do not pair, or name a part that
	// does not exist.
	ErrBadMarker = errors.New("report: bad marker")
	// ErrNoSymbol: a function of the biased path is not in the program. It may
	// have been stripped.
	ErrNoSymbol = errors.New("report: no such function")
)
