//go:build !unix

package bustest

import "os"

// Where processes cannot be stopped there is no bus either.
var (
	stopSignal     = os.Interrupt
	continueSignal = os.Interrupt
)
