package ring

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shmbus/shmbus/shm"
)

// numbered returns n bytes that are told from those of other numbers.
func numbered(number, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(number*7 + i)
	}
	return b
}

func testSizes(t *testing.T, s *site) {
	r := s.room(t, MinCapacity)
	p, reliable, lossy := r.publisher(0), r.subscriber(0, Reliable), r.subscriber(1, Lossy)
	p.now = 77
	most := MaxMessage(MinCapacity)
	sizes := []int{0, 1, 7, 8, 31, 32, 33, 63, 64, 65, 500, most - 33, most - 32, most - 1, most}
	for round := range 3 {
		for i, n := range sizes {
			want := numbered(i+round, n)
			seq := p.must(want)
			for _, sub := range []*subscriber{reliable, lossy} {
				m := sub.must()
				if !bytes.Equal(m.Payload, want) || m.Sequence != seq || m.Lost != 0 || m.Time != 77 || m.Kind != testKind || m.Publisher != 0 {
					t.Fatalf("%d bytes, sequence %d: got %d bytes, %+v", n, seq, len(m.Payload), m)
				}
				sub.empty()
			}
		}
	}
	limit := fmt.Sprint(most)
	_, tryErr := p.try(make([]byte, most+1))
	_, err := p.publish(t.Context(), make([]byte, most+1))
	_, claimErr := p.claim(most + 1)
	_, batchErr := p.batch(t.Context(), true, nil, make([]byte, most+1))
	for i, err := range []error{tryErr, err, claimErr, batchErr} {
		if !is(err, ErrTooLarge) || !strings.Contains(err.Error(), limit) {
			t.Errorf("way %d: %d bytes: %v, want %v naming %s", i, most+1, err, ErrTooLarge, limit)
		}
	}
	if _, err := p.claim(-1); !is(err, ErrTooLarge) {
		t.Errorf("a claim of -1 bytes: %v", err)
	}
	reliable.empty()
}

// testPadEverywhere begins a largest message at every offset at which it would
// straddle the end of the ring, and at every one at which it just does not.
func testPadEverywhere(t *testing.T, s *site) {
	r := s.room(t, MinCapacity)
	p := r.publisher(0)
	subs := []*subscriber{r.subscriber(0, Reliable), r.subscriber(1, Lossy)}
	most := MaxMessage(MinCapacity)
	number := 0
	put := func(n int) {
		number++
		want := numbered(number, n)
		seq := p.must(want)
		for _, sub := range subs {
			if m := sub.must(); !bytes.Equal(m.Payload, want) || m.Sequence != seq {
				t.Fatalf("message %d of %d bytes: got %d bytes, sequence %d of %d", number, n, len(m.Payload), m.Sequence, seq)
			}
			sub.empty()
		}
	}
	for offset := MinCapacity - most - 2*recordAlign; offset < MinCapacity; offset += recordAlign {
		for at := int(r.ring.Stat().Position % MinCapacity); at != offset; at = int(r.ring.Stat().Position % MinCapacity) {
			step := offset - at
			if at > offset {
				step = MinCapacity - at // to the end first
			}
			put(min(step, most+recordHeader) - recordHeader)
		}
		put(most)
	}
}

func testFull(t *testing.T, s *site) {
	r := s.room(t, MinCapacity)
	p, sub := r.publisher(0), r.subscriber(0, Reliable)
	for round := range 4 {
		count := p.fill(100)
		// All but the next header and less than a record.
		if used := count * int(extentOf(100)); used > MinCapacity-recordHeader || used < MinCapacity-recordHeader-2*int(extentOf(100)) {
			t.Errorf("round %d: full with %d bytes of %d", round, used, MinCapacity)
		}
		if _, err := p.claim(100); !is(err, ErrFull) {
			t.Errorf("a claim in a full ring: %v", err)
		}
		if n, err := p.batch(t.Context(), false, numbered(0, 100)); n != 0 || !is(err, ErrFull) {
			t.Errorf("a batch in a full ring: %d, %v", n, err)
		}
		for i := range count {
			if m := sub.must(); !bytes.Equal(m.Payload, numbered(i, 100)) {
				t.Fatalf("message %d is another: sequence %d", i, m.Sequence)
			}
		}
		sub.empty() // and with that, says how far it has read
	}
	if info := r.ring.Publishers()[0]; info.Refused != 4*3 {
		t.Errorf("%d refused, want 12: each TryPublish, TryClaim and PublishBatch", info.Refused)
	}
}

// testNeverFull: without a reliable subscriber nothing holds a publisher back.
func testNeverFull(t *testing.T, s *site) {
	r := s.room(t, MinCapacity)
	p, lossy := r.publisher(0), r.subscriber(0, Lossy)
	for i := range 200 {
		p.must(numbered(i, 300))
	}
	m := lossy.must()
	if m.Lost == 0 || m.Sequence != m.Lost || !bytes.Equal(m.Payload, numbered(int(m.Sequence), 300)) {
		t.Errorf("after laps: sequence %d, lost %d", m.Sequence, m.Lost)
	}
	for i := int(m.Sequence) + 1; i < 200; i++ {
		if m := lossy.must(); m.Lost != 0 || !bytes.Equal(m.Payload, numbered(i, 300)) {
			t.Fatalf("message %d: sequence %d, lost %d", i, m.Sequence, m.Lost)
		}
	}
	lossy.empty()
}

func testBlockedPublish(t *testing.T, s *site) {
	r := s.room(t, MinCapacity)
	p, sub := r.publisher(0), r.subscriber(0, Reliable)
	type result struct {
		seq uint64
		err error
	}
	block := func(run func() (uint64, error)) chan result {
		done := make(chan result, 1)
		sleeps := r.ring.Stat().SpaceSleeps
		go func() { seq, err := run(); done <- result{seq, err} }()
		until(func() bool { return r.ring.Stat().SpaceSleeps != sleeps })
		return done
	}

	count := p.fill(200)
	done := block(func() (uint64, error) { return p.publish(t.Context(), numbered(count, 200)) })
	for i := range count {
		if m := sub.must(); int(m.Sequence) != i {
			t.Fatalf("sequence %d, want %d", m.Sequence, i)
		}
	}
	sub.release()
	if got := <-done; got.err != nil || int(got.seq) != count {
		t.Fatalf("woken by the consumer: %+v, want sequence %d", got, count)
	}
	sub.must()
	sub.empty()

	p.fill(200)
	ctx, cancel := expired(t.Context())
	defer cancel()
	if _, err := p.publish(ctx, numbered(0, 200)); !is(err, ctx.Err()) || is(err, ErrStalled) {
		t.Errorf("cancelled: %v, want the context's error", err)
	}
	done = block(func() (uint64, error) { return p.publish(t.Context(), numbered(0, 200)) })
	p.interrupt()
	if got := <-done; !is(got.err, ErrClosed) {
		t.Errorf("interrupted: %+v, want %v", got, ErrClosed)
	}
	if info := r.ring.Publishers()[0]; info.BlockedNanos == 0 {
		t.Error("no blocked time was counted")
	}
}

func testClaims(t *testing.T, s *site) {
	r := s.room(t, MinCapacity)
	p, q := r.publisher(0), r.publisher(1)
	subs := []*subscriber{r.subscriber(0, Reliable), r.subscriber(1, Lossy)}
	for round := range 5 {
		first := p.mustClaim(50)
		second := q.mustClaim(0)
		third := p.mustClaim(300)
		fourth := p.mustClaim(60)
		last := q.must(numbered(5, 40))
		all := func(do func(*subscriber)) {
			for _, s := range subs {
				do(s)
			}
		}
		expect := func(seq uint64, want []byte) {
			t.Helper()
			all(func(s *subscriber) {
				if m := s.must(); m.Sequence != seq || !bytes.Equal(m.Payload, want) || m.Lost != 0 {
					t.Fatalf("round %d: got sequence %d, %d bytes, lost %d; want %d, %d bytes", round, m.Sequence, len(m.Payload), m.Lost, seq, len(want))
				}
			})
		}
		try := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		all((*subscriber).empty)
		try(third.commit(numbered(3, 300)))
		try(second.abort())
		all((*subscriber).empty)
		try(first.commit(numbered(1, 50)))
		expect(first.seq, numbered(1, 50))
		expect(third.seq, numbered(3, 300))
		all((*subscriber).empty)
		try(fourth.abort())
		expect(last, numbered(5, 40))
		all((*subscriber).empty)
		if err := first.commit(nil); !is(err, ErrClosed) {
			t.Errorf("committed twice: %v", err)
		}
		if err := second.abort(); !is(err, ErrClosed) {
			t.Errorf("aborted twice: %v", err)
		}
		if want := first.seq + 4; second.seq != first.seq+1 || third.seq != first.seq+2 || fourth.seq != first.seq+3 || last != want {
			t.Errorf("sequences %d %d %d %d %d", first.seq, second.seq, third.seq, fourth.seq, last)
		}
	}
	for _, s := range subs {
		if st, _ := s.release(); st.Delivered != 15 || st.Aborted != 10 || st.Lost() != 0 {
			t.Errorf("slot %d: %+v, want 15 delivered, 10 aborted", s.slot, st)
		}
	}
}

// testClaimHoldsSpace: nobody laps a claim, though no reliable subscriber is
// there; when it ends, whoever waits for its space goes on.
func testClaimHoldsSpace(t *testing.T, s *site) {
	r := s.room(t, MinCapacity)
	p, q := r.publisher(0), r.publisher(1)
	for round, end := range []func(claimed) error{claimed.abort, func(c claimed) error { return c.commit(numbered(9, 500)) }} {
		c := p.mustClaim(500)
		if n := q.fill(200); n == 0 {
			t.Fatal("no room beside a claim")
		}
		sleeps := r.ring.Stat().SpaceSleeps
		done := make(chan error, 1)
		go func() { _, err := q.publish(t.Context(), numbered(0, 200)); done <- err }()
		until(func() bool { return r.ring.Stat().SpaceSleeps != sleeps })
		bell := r.ring.log.pendingDoorbell.Load()
		if err := end(c); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if r.ring.log.pendingDoorbell.Load() == bell {
			t.Errorf("round %d: the end of the claim wakes nobody", round)
		}
		if err := <-done; err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		for i := range 50 {
			q.must(numbered(i, 200))
		}
	}
}

func testBatches(t *testing.T, s *site) {
	r := s.room(t, MinCapacity)
	p, sub := r.publisher(0), r.subscriber(0, Reliable)
	var list [][]byte
	for i := range 100 {
		list = append(list, numbered(i, i))
	}
	n, err := p.batch(t.Context(), false, list...)
	if n == 0 || n == len(list) || !is(err, ErrFull) {
		t.Fatalf("a batch larger than the ring: %d, %v", n, err)
	}
	for i := range n {
		if m := sub.must(); int(m.Sequence) != i || !bytes.Equal(m.Payload, list[i]) {
			t.Fatalf("message %d: sequence %d, %d bytes", i, m.Sequence, len(m.Payload))
		}
	}
	sub.empty()
	done := make(chan error, 1)
	go func() {
		n, err := p.batch(t.Context(), true, list...)
		if err == nil && n != len(list) {
			err = fmt.Errorf("%d published of %d", n, len(list))
		}
		done <- err
	}()
	for i := range list {
		var m Record
		until(func() bool { m, err = sub.next(); return !is(err, ErrEmpty) })
		if err != nil || !bytes.Equal(m.Payload, list[i]) {
			t.Fatalf("message %d: %v, %d bytes", i, err, len(m.Payload))
		}
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	sub.empty()
	if n, err := p.batch(t.Context(), true); n != 0 || err != nil {
		t.Errorf("an empty batch: %d, %v", n, err)
	}
	if n, err := p.batch(t.Context(), true, list[1], make([]byte, MinCapacity)); n != 0 || !is(err, ErrTooLarge) {
		t.Errorf("a batch with a message too large: %d, %v", n, err)
	}
	p.fill(100)
	ctx, cancel := expired(t.Context())
	defer cancel()
	if n, err := p.batch(ctx, true, list[1:2]...); n != 0 || !is(err, ctx.Err()) {
		t.Errorf("a cancelled batch: %d, %v", n, err)
	}
}

func testStarts(t *testing.T, s *site) {
	r := s.room(t, MinCapacity)
	p := r.publisher(0)
	start := func(k Start, mode Mode) (*subscriber, error) {
		return r.attach(0, SubscriberSpec{Mode: mode, Start: k}, Park)
	}
	if _, err := start(Start{Kind: StartSequence, Sequence: 1}, Reliable); !is(err, ErrBadStart) {
		t.Errorf("sequence 1 of an empty topic: %v, want %v", err, ErrBadStart)
	}
	for i := range 10 {
		p.must(numbered(i, 20))
	}
	if err := p.mustClaim(30).abort(); err != nil { // sequence 10
		t.Fatal(err)
	}
	p.must(numbered(11, 20))
	for _, c := range []struct {
		start Start
		want  int // sequence of the first message; -1: none
	}{
		{Start{Kind: StartLatest}, -1},
		{Start{Kind: StartEarliest}, 0},
		{Start{Kind: StartSequence, Sequence: 0}, 0},
		{Start{Kind: StartSequence, Sequence: 7}, 7},
		{Start{Kind: StartSequence, Sequence: 10}, 11}, // was aborted
		{Start{Kind: StartSequence, Sequence: 11}, 11},
		{Start{Kind: StartSequence, Sequence: 12}, -1},
	} {
		for _, mode := range []Mode{Reliable, Lossy} {
			sub, err := start(c.start, mode)
			if err != nil {
				t.Fatalf("%+v: %v", c.start, err)
			}
			for want := c.want; want >= 0 && want < 12; want++ {
				if want == 10 {
					continue
				}
				if m := sub.must(); int(m.Sequence) != want || m.Lost != 0 || !bytes.Equal(m.Payload, numbered(want, 20)) {
					t.Fatalf("%+v, %v: sequence %d, lost %d, want %d", c.start, mode, m.Sequence, m.Lost, want)
				}
			}
			sub.empty()
			sub.remove()
		}
	}
	if _, err := start(Start{Kind: StartSequence, Sequence: 13}, Reliable); !is(err, ErrBadStart) {
		t.Errorf("sequence 13 of 12: %v, want %v", err, ErrBadStart)
	}
	if n := len(r.ring.Subscribers()); n != 0 {
		t.Errorf("%d slots are granted after a bad start", n)
	}
}

func testStartAge(t *testing.T, s *site) {
	r := s.room(t, 4*MinCapacity)
	p := r.publisher(0)
	now := shm.Now()
	step := min(time.Minute, time.Duration(now/100)) // no message is older than the clock, which began at boot
	for i := range 60 {                              // one each step, the last just now
		p.now = now - int64(time.Duration(59-i)*step)
		p.must(numbered(i, 90))
	}
	for _, c := range []struct {
		age  time.Duration
		want int
	}{{0, -1}, {step / 2, 59}, {step * 3 / 2, 58}, {30*step + step/2, 29}, {180 * step, 0}} {
		sub, err := r.attach(0, SubscriberSpec{Start: Start{Kind: StartAge, Age: c.age}}, Park)
		if err != nil {
			t.Fatal(err)
		}
		if c.want < 0 {
			sub.empty()
		} else if m := sub.must(); int(m.Sequence) != c.want {
			t.Errorf("age %v: sequence %d, want %d", c.age, m.Sequence, c.want)
		}
		sub.remove()
	}
}

// testEarliestAfterLap: the earliest message is not far from the oldest whose
// bytes are still there, and all from it on are whole.
func testEarliestAfterLap(t *testing.T, s *site) {
	const capacity = 16 << 10
	r := s.room(t, capacity)
	ps := []*publisher{r.publisher(0), r.publisher(1)}
	for i := range 500 {
		ps[i/250*i%2].must(numbered(i, 100+i%50))
		if i%25 != 0 || i < 200 {
			continue
		}
		sub, err := r.attach(0, SubscriberSpec{Start: Start{Kind: StartEarliest}}, Park)
		if err != nil {
			t.Fatal(err)
		}
		if span := r.ring.Stat().Position - sub.attach.Position; span < capacity*3/4 {
			t.Errorf("after %d messages: earliest is %d bytes back, of %d", i, span, capacity)
		}
		first := int(sub.attach.Sequence)
		for n := first; n <= i; n++ {
			if m := sub.must(); int(m.Sequence) != n || !bytes.Equal(m.Payload, numbered(n, 100+n%50)) {
				t.Fatalf("from %d: message %d has sequence %d", first, n, m.Sequence)
			}
		}
		sub.empty()
		sub.remove()
		old, err := r.attach(0, SubscriberSpec{Start: Start{Kind: StartSequence, Sequence: 1}}, Park)
		if err != nil || int(old.attach.Sequence) != first {
			t.Errorf("from sequence 1: %v, begins at %d, want the oldest, %d", err, old.attach.Sequence, first)
		}
		old.remove()
	}
}

func testLists(t *testing.T, s *site) {
	r := s.room(t, MinCapacity)
	p, sub := r.publisher(2), r.subscriber(3, Reliable)
	c := p.mustClaim(10)
	if err := c.abort(); err != nil {
		t.Fatal(err)
	}
	p.must(numbered(0, 40))
	sub.must()
	sub.empty()
	pubs, subs, counts := r.ring.Publishers(), r.ring.Subscribers(), r.ring.Counts()
	if len(pubs) != 1 || pubs[0].Slot != 2 || pubs[0].Gen != p.gen || pubs[0].Name != "publisher-2" || pubs[0].Published != 1 || pubs[0].Bytes != 40 || pubs[0].Aborted != 1 {
		t.Errorf("publishers: %+v", pubs)
	}
	if len(subs) != 1 || subs[0].Slot != 3 || subs[0].Gen != sub.gen || subs[0].Name != "subscriber-3" || !subs[0].Gating || subs[0].Delivered != 1 || subs[0].Bytes != 40 || subs[0].AbortedSeen != 1 || subs[0].Sequence != 2 {
		t.Errorf("subscribers: %+v", subs)
	}
	if want := (Counts{1, 1, 1, 1}); counts != want {
		t.Errorf("counts: %+v", counts)
	}
	st := r.ring.Stat()
	if st.Sequence != 2 || st.Used != 0 || st.Gating != st.Position || st.LockSlot != -1 || st.Capacity != MinCapacity {
		t.Errorf("stat: %+v", st)
	}
	p.remove()
	sub.remove()
	if want := (Counts{0, 0, 1, 1}); r.ring.Counts() != want {
		t.Errorf("counts after both left: %+v", r.ring.Counts())
	}
	if slices.ContainsFunc(r.ring.Subscribers(), func(SubscriberInfo) bool { return true }) || r.ring.Publishers() != nil {
		t.Error("slots are granted after both left")
	}
}
