package control

import (
	"errors"
	"testing"
	"time"
)

// TestNameOfALostGrantIsFree: a host granted a slot and died before it could say
// so. Whoever asked for it asks the next host, which hears of the topic from
// somebody else, and is not told that its name is in use, by itself.
func TestNameOfALostGrantIsFree(t *testing.T) {
	root := busRoot(t)
	first := dial(t, Config{Dir: root, Host: HostConfig{Settle: time.Millisecond}})
	next := dial(t, Config{Dir: root, Host: HostConfig{Settle: time.Millisecond}})
	late := dial(t, Config{Dir: root, NeverHost: true})
	asker := dial(t, Config{Dir: root, NeverHost: true})
	publisher(t, late, PublisherRequest{Topic: "topic"})
	lost := subscriber(t, asker, SubscriberRequest{Topic: "topic", Name: "name"})
	asker.mu.Lock()
	delete(asker.grants, lost) // as if it had not come
	asker.mu.Unlock()
	late.mu.Lock()
	late.accepting++ // it comes back when this is done
	late.mu.Unlock()
	first.Close()
	eventually(t, func() error {
		if !next.Hosting() {
			return errors.New("nobody hosts")
		}
		return nil
	})
	answer := make(chan error, 1)
	go func() {
		_, err := asker.Subscriber(soon(t), SubscriberRequest{Topic: "topic", Name: "name"})
		answer <- err
	}()
	h := next.host
	slow := &waiter{result: make(chan waitResult)} // next in line: the host is long at telling it that the topic is there
	eventually(t, func() error {
		h.mu.Lock()
		defer h.mu.Unlock()
		if len(h.waiters["topic"]) == 0 {
			return errors.New("nobody waits for the topic")
		}
		h.waiters["topic"] = append(h.waiters["topic"], slow)
		return nil
	})
	late.mu.Lock()
	late.accepting--
	late.accepted.Broadcast()
	late.mu.Unlock()
	if err := <-answer; err != nil {
		t.Error(err)
	}
	<-slow.result
	h.mu.Lock()
	h.busy--
	h.mu.Unlock()
}
