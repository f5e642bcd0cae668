package control

import (
	"errors"
	"os"
	"testing"
	"time"
)

// TestHostThatAnswersIsNotStalled: the host answers every ping, and says nothing else
// for as long as it works for a request: it is not taken for stopped, though each pong
// is older than the second look at it, by as much as the timer was late.
func TestHostThatAnswersIsNotStalled(t *testing.T) {
	c := &Client{}
	peer, conn := connPair(t)
	l := &link{conn: conn, began: time.Now().Add(-time.Hour)}
	c.link = l
	said := func(ago time.Duration) { l.heard.Store(int64(time.Since(l.began) - ago)) }
	var asked time.Time
	said(2 * stallAfter)
	for range 3 { // asked, and asked again, since it answered
		if _, err := c.silence(&call{}, &asked); err != nil {
			t.Fatal(err)
		}
		raw, _, err := peer.Receive(time.Now().Add(watchdog))
		if head, decodeErr := DecodeHeader(raw); err != nil || decodeErr != nil || head.Type != typePing {
			t.Fatalf("%s, %v, %v", raw, err, decodeErr)
		}
		// Asked long ago, answered a moment later.
		asked = time.Now().Add(-2 * stallAfter)
		said(2*stallAfter - time.Millisecond)
	}
	said(3 * stallAfter)
	if _, err := c.silence(&call{}, &asked); !errors.Is(err, ErrHostStalled) {
		t.Errorf("no answer: %v, want %v", err, ErrHostStalled)
	}
	if _, _, err := peer.Receive(time.Now().Add(time.Millisecond)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("asked once more: %v", err)
	}
}
