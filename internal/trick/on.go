//go:build !shmbus_tricks

package trick

// Each trick is on.
const (
	ShortRoad   = true
	Bias        = true
	Soft        = true
	LazyCursor  = true
	Pauses      = true
	Prefetch    = true
	CopyAtOnce  = true
	SharedClock = true
)

// Names are the tricks that this build can do without: none.
func Names() []string { return nil }
