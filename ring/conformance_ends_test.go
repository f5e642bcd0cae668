package ring

import (
	"bytes"
	"context"
	"slices"
	"testing"
)

// testMaxLag: a reliable subscriber with a limit is detached, not waited for.
func testMaxLag(t *testing.T, s *site) {
	for _, limit := range []uint64{5, 1 << 40} { // by its limit; because the ring is full
		r := s.room(t, MinCapacity)
		p := r.publisher(0)
		slow, err := r.attach(0, SubscriberSpec{MaxLag: limit}, Park)
		if err != nil {
			t.Fatal(err)
		}
		p.must(numbered(0, 200))
		if m := slow.must(); m.Sequence != 0 {
			t.Fatalf("sequence %d", m.Sequence)
		}
		for i := range 60 {
			p.must(numbered(i+1, 200))
		}
		for range 2 {
			if m, err := slow.next(); !is(err, ErrDetached) {
				t.Errorf("lag limit %d: %+v, %v, want %v", limit, m, err, ErrDetached)
			}
		}
		if info := r.ring.Subscribers()[0]; info.Gating || info.MaxLag != limit {
			t.Errorf("lag limit %d: %+v", limit, info)
		}
		slow.remove()
	}
	// Who keeps up is not detached.
	r := s.room(t, MinCapacity)
	p := r.publisher(0)
	sub, err := r.attach(0, SubscriberSpec{MaxLag: 8}, Park)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		p.must(numbered(i, 100))
		if m := sub.must(); int(m.Sequence) != i {
			t.Fatalf("sequence %d, want %d", m.Sequence, i)
		}
	}
}

func testDetach(t *testing.T, s *site) {
	r := s.room(t, MinCapacity)
	p, sub, other := r.publisher(0), r.subscriber(0, Reliable), r.subscriber(1, Reliable)
	count := p.fill(100)
	r.host.Detach(sub.slot, sub.gen+1000) // of somebody else
	if _, err := p.try(numbered(0, 100)); !is(err, ErrFull) {
		t.Errorf("a stranger's detach made room: %v", err)
	}
	for range count {
		other.must()
	}
	other.empty()
	r.host.Detach(sub.slot, sub.gen)
	r.host.Detach(sub.slot, sub.gen)
	if _, err := sub.next(); !is(err, ErrDetached) {
		t.Errorf("detached: %v", err)
	}
	if a := sub.poll(5); !is(a.err(), ErrDetached) {
		t.Errorf("detached: Poll: %v", a.err())
	}
	if err := sub.wait(t.Context()); err != nil {
		t.Errorf("detached: Wait: %v, want none, so that Next says it", err)
	}
	p.must(numbered(0, 100))
	if got := r.ring.Subscribers()[0]; got.Gating {
		t.Errorf("detached: %+v", got)
	}
	// A sleeper is woken by its detachment.
	other.must()
	other.empty()
	woken := make(chan error, 1)
	sleeps := r.ring.Stat().Sleeps
	go func() { woken <- other.wait(t.Context()) }()
	until(func() bool { return r.ring.Stat().Sleeps != sleeps })
	r.host.Detach(other.slot, other.gen)
	if err := <-woken; err != nil {
		t.Error(err)
	}
	if _, err := other.next(); !is(err, ErrDetached) {
		t.Errorf("detached in its sleep: %v", err)
	}
	// The slot serves the next one.
	sub.remove()
	sub.remove()
	again := r.subscriber(0, Reliable)
	p.must(numbered(8, 30))
	if m := again.must(); !bytes.Equal(m.Payload, numbered(8, 30)) {
		t.Errorf("the next one in the slot: %+v", m)
	}
}

func testDrained(t *testing.T, s *site) {
	r := s.room(t, MinCapacity)
	subs := []*subscriber{r.subscriber(0, Reliable), r.subscriber(1, Lossy)}
	all := func(want bool, when string) {
		t.Helper()
		for _, s := range subs {
			if _, drained := s.release(); drained != want {
				t.Errorf("slot %d, %s: drained is %t", s.slot, when, drained)
			}
		}
	}
	all(false, "before there was a publisher")
	p := r.publisher(0)
	all(false, "with a publisher")
	p.must(numbered(0, 10))
	c := p.mustClaim(20)
	p.must(numbered(1, 10))
	c2 := p.mustClaim(20)
	_ = c2
	if err := c.abort(); err != nil {
		t.Fatal(err)
	}
	p.remove() // aborts the open claim
	for _, want := range []int{0, 1} {
		all(false, "with messages to read")
		for _, s := range subs {
			if m := s.must(); !bytes.Equal(m.Payload, numbered(want, 10)) {
				t.Errorf("got sequence %d", m.Sequence)
			}
		}
	}
	for _, s := range subs {
		s.empty()
	}
	all(true, "when all is read")
	q := r.publisher(1)
	all(false, "with a new publisher")
	q.remove()
	all(true, "when it has left")
}

// testPollLast: the last message of a batch is said to be the last, also when
// there is something behind it that is no message.
func testPollLast(t *testing.T, s *site) {
	r := s.room(t, MinCapacity)
	p := r.publisher(0)
	subs := []*subscriber{r.subscriber(0, Reliable), r.subscriber(1, Lossy)}
	expect := func(what string, most int, last ...bool) {
		t.Helper()
		for _, s := range subs {
			a := s.poll(most)
			if a.Failed != nil || a.N != len(last) || !slices.Equal(a.Last, last) {
				t.Fatalf("slot %d, %s: Poll returned %d, %v, last %v, want %v", s.slot, what, a.N, a.err(), a.Last, last)
			}
		}
	}
	put := func(n int) {
		for i := range n {
			p.must(numbered(i, 20))
		}
	}
	abort := func() {
		if err := p.mustClaim(40).abort(); err != nil {
			t.Fatal(err)
		}
	}
	for range 30 { // past the end of the ring, several times
		expect("nothing", 10)
		put(3)
		expect("three", 10, false, false, true)
		put(3)
		expect("a maximum", 2, false, true)
		expect("the rest", 10, true)
		put(1)
		abort()
		expect("aborted behind", 10, true)
		abort()
		expect("aborted alone", 10)
		put(2)
		c := p.mustClaim(5)
		put(1)
		expect("a claim behind", 10, false, true)
		if err := c.abort(); err != nil {
			t.Fatal(err)
		}
		abort()
		expect("aborted around", 10, true)
		expect("no maximum", 0)
	}
	// A PAD alone behind: a claim that needed one, and was given up.
	most := MaxMessage(MinCapacity)
	for int(r.ring.Stat().Position%MinCapacity) <= MinCapacity-most {
		put(1)
		expect("one", 1, true)
	}
	put(1)
	if err := p.mustClaim(most).abort(); err != nil {
		t.Fatal(err)
	}
	expect("PAD and aborted behind", 10, true)
	expect("nothing", 10)
}

func testWaiting(t *testing.T, s *site) {
	for _, how := range []WaitStrategy{Adaptive, Spin, Park} {
		r := s.room(t, MinCapacity)
		p := r.publisher(0)
		sub, err := r.attach(0, SubscriberSpec{}, how)
		if err != nil {
			t.Fatal(err)
		}
		p.must(numbered(0, 1))
		if err := sub.wait(t.Context()); err != nil {
			t.Errorf("%d: with a message there: %v", how, err)
		}
		sub.must()
		for i := range 10 {
			woken := make(chan error, 1)
			sleeps := r.ring.Stat().Sleeps
			go func() { woken <- sub.wait(t.Context()) }()
			if how == Park && i%2 == 0 {
				until(func() bool { return r.ring.Stat().Sleeps != sleeps })
			}
			p.must(numbered(i, 5))
			if err := <-woken; err != nil {
				t.Errorf("%d: woken: %v", how, err)
			}
			sub.must()
			sub.empty()
		}
		ctx, cancel := expired(t.Context())
		if err := sub.wait(ctx); !is(err, context.DeadlineExceeded) && !is(err, context.Canceled) {
			t.Errorf("%d: cancelled: %v", how, err)
		}
		cancel()
		woken := make(chan error, 1)
		go func() { woken <- sub.wait(t.Context()) }()
		sub.interrupt()
		if err := <-woken; !is(err, ErrClosed) {
			t.Errorf("%d: interrupted: %v", how, err)
		}
		if _, err := sub.next(); !is(err, ErrClosed) {
			t.Errorf("%d: Next after Interrupt: %v", how, err)
		}
		p.must(numbered(1, 5))
		if _, err := sub.next(); err != nil {
			t.Errorf("%d: what is there can still be read: %v", how, err)
		}
	}
}

// testGuests: a guest reads lossily, writes only its own region, and is woken.
func testGuests(t *testing.T, s *site) {
	r := s.roomWith(t, MinCapacity, true)
	p, sub := r.publisher(0), r.subscriber(0, Reliable)
	for _, spec := range []SubscriberSpec{{Slot: 1, Gen: 90, Guest: true, Mode: Reliable}, {Slot: 99, Gen: 90}, {Slot: 1, Gen: 0}, {Slot: 0, Gen: 91}} {
		if _, err := r.host.AddSubscriber(t.Context(), spec); !is(err, ErrNoSlot) {
			t.Errorf("%+v: %v, want %v", spec, err, ErrNoSlot)
		}
	}
	guest, err := r.attach(0, SubscriberSpec{Guest: true, Mode: Lossy}, Park)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		woken := make(chan error, 1)
		sleeps := r.ring.guests.sleeps.Load()
		go func() { woken <- guest.wait(t.Context()) }()
		until(func() bool { return r.ring.guests.sleeps.Load() != sleeps })
		p.must(numbered(i, 50))
		if err := <-woken; err != nil {
			t.Fatal(err)
		}
		if m := guest.must(); !bytes.Equal(m.Payload, numbered(i, 50)) {
			t.Errorf("guest: %+v", m)
		}
		guest.empty()
		sub.must()
		sub.empty()
	}
	infos := r.ring.Subscribers()
	if len(infos) != 2 || infos[0].Guest || !infos[1].Guest || infos[1].Gating || infos[1].Delivered != 5 || infos[1].Mode != Lossy {
		t.Errorf("subscribers: %+v", infos)
	}
	made, seen := stream(t, r, []*publisher{p}, []*subscriber{sub}, job{Count: 300, Size: 300, Batch: 3, Claims: 2}, job{})
	if made["publisher 0"].Produced != 300 || seen["subscriber 0"].Messages != 300 {
		t.Errorf("beside a guest: made %+v, seen %+v", made, seen)
	}
	guest.remove()
	if n := r.ring.Counts(); n.Subscribers != 1 || n.SubscribersEver != 2 {
		t.Errorf("counts: %+v", n)
	}
}
