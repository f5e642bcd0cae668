package trick

import "testing"

// TestOn: without the tag there is nothing to switch off; with it, and nothing
// in the environment, nothing is.
func TestOn(t *testing.T) {
	for name, on := range map[string]bool{
		"short-road": ShortRoad, "bias": Bias, "soft": Soft, "lazy-cursor": LazyCursor, "pauses": Pauses,
		"prefetch": Prefetch, "copy-at-once": CopyAtOnce, "shared-clock": SharedClock,
	} {
		if !on {
			t.Errorf("%s is off", name)
		}
	}
}
