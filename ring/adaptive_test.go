package ring

import "testing"

// TestSpinBudget runs a budget through waits of known lengths: what a look
// finds within spinAtMost it finds, for everything else we sleep.
func TestSpinBudget(t *testing.T) {
	var b spinBudget
	looks := func(waits int, gap int64) (looked int) {
		for range waits {
			d := gap + wakeTakes
			if b.pays() {
				looked++
				if gap < spinAtMost {
					b.found()
					continue
				}
			}
			b.slept(d)
		}
		return looked
	}
	for _, step := range []struct {
		what        string
		waits       int
		gap         int64
		least, most int
	}{
		{"at first, dense", 100, 1_000, 100, 100},
		{"sparse: looks die out within two waits", 1000, 1_000_000, 2, 2 + 1000/retrySpin},
		{"dense again: found out by what sleeps took", 1000, 10_000, 1000 - retrySpin, 999},
		{"a little too far apart", 1000, spinAtMost + spinAtMost/5, 1, 100},
		{"just near enough", 1000, spinAtMost - spinAtMost/5, 1000 - retrySpin, 1000},
	} {
		if n := looks(step.waits, step.gap); n < step.least || n > step.most {
			t.Errorf("%s: looked in %d of %d waits, want %d to %d", step.what, n, step.waits, step.least, step.most)
		}
	}

	// Where waking takes so long that every sleep looks too long, a trial
	// tells.
	b = spinBudget{gap: mostGap}
	looked := 0
	for range 10 * retrySpin {
		if b.pays() {
			looked++
			b.found()
		} else {
			b.slept(10 * spinAtMost)
		}
	}
	if looked < 8*retrySpin {
		t.Errorf("behind slow wakes: looked in %d of %d waits, want nearly all after the first trial", looked, 10*retrySpin)
	}
}

func TestLookTrials(t *testing.T) {
	var l lookTrials
	looks := func(waits, oneIn int) (looked int) {
		for n := range waits {
			if !l.pays() {
				continue
			}
			looked++
			if oneIn > 0 && n%oneIn == 0 {
				l.found()
			} else {
				l.missed()
			}
		}
		return looked
	}
	for _, step := range []struct {
		what                      string
		waits, oneIn, least, most int
	}{
		{"each pays", 100, 1, 100, 100},
		{"one in three pays", 300, 3, 300, 300},
		{"none pays", 1000, 0, mostMisses + 1, mostMisses + 1000/retrySpin},
		{"each pays again", 1000, 1, 1000 - 2*retrySpin, 1000 - 1},
	} {
		if n := looks(step.waits, step.oneIn); n < step.least || n > step.most {
			t.Errorf("%s: looked in %d of %d waits, want %d to %d", step.what, n, step.waits, step.least, step.most)
		}
	}
}
