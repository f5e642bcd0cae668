package main

import (
	"context"
	"math"
	"time"
)

const (
	// paceStep is how much may be published at once: timers are coarser than
	// the distance of messages at high rates.
	paceStep = time.Millisecond
	// paceDebt is how late publishing may be and still catch up. What is later,
	// because the ring was full for long, is not made up in a burst.
	paceDebt = 250 * time.Millisecond
)

// pacer spaces messages evenly: message k after a start is due k/rate later.
// The schedule is absolute, so late timers do not lower the rate.
type pacer struct {
	interval float64 // ns; 0 is unlimited
	start    time.Time
	count    float64 // messages since start
}

func newPacer(perSecond float64) *pacer {
	p := &pacer{start: time.Now()}
	if perSecond > 0 {
		p.interval = float64(time.Second) / perSecond
	}
	return p
}

func (p *pacer) due(count float64) time.Time {
	return p.start.Add(time.Duration(count * p.interval))
}

// idle begins a new schedule if the input was waited for past the time its next
// message was due: what was not there is not made up for.
func (p *pacer) idle(waited bool) {
	if p.interval == 0 || !waited {
		return
	}
	if now := time.Now(); now.After(p.due(p.count)) {
		p.start, p.count = now, 0
	}
}

// wait waits until the next message is due and returns how many are, at most limit.
func (p *pacer) wait(ctx context.Context, limit int) (int, error) {
	if p.interval == 0 {
		return limit, nil
	}
	now := time.Now()
	next := p.due(p.count)
	if late := now.Sub(next); late > paceDebt {
		p.start, p.count = now.Add(-paceDebt), 0
	} else if late < 0 {
		t := time.NewTimer(max(-late, min(paceStep, time.Duration(p.interval))))
		defer t.Stop()
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-t.C:
			now = time.Now()
		}
	}
	due := math.Floor(float64(now.Sub(p.start))/p.interval) + 1 - p.count
	return int(max(1, min(due, float64(limit)))), nil
}

// sent counts n messages published.
func (p *pacer) sent(n int) { p.count += float64(n) }
