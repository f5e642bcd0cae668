package web

import (
	"sync"
	"time"
)

// limiter lets a number of messages through in a second, and as many at once.
type limiter struct {
	mu    sync.Mutex
	rate  float64 // a second
	left  float64
	since time.Time
}

func newLimiter(perSecond int) *limiter {
	return &limiter{rate: float64(perSecond), left: float64(perSecond), since: time.Now()}
}

// take reports whether one more may pass now.
func (l *limiter) take(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.left = min(l.left+now.Sub(l.since).Seconds()*l.rate, l.rate)
	l.since = now
	if l.left < 1 {
		return false
	}
	l.left--
	return true
}
