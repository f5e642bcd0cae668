package steps

// claimNow claims room for the next message and fills it.
func (v *victim) claimNow(n int) {
	b := v.message(n)
	c, err := v.p.TryClaim(n, 0, 1)
	must(err)
	copy(c.Bytes(), b)
	v.claims = append(v.claims, c)
}

// callClaim claims, fills and commits.
func callClaim(v *victim) {
	c, err := v.p.Claim(background, len(v.payload), 0, 1)
	must(err)
	copy(c.Bytes(), v.payload)
	must(c.Commit())
	v.did = 1
}

func callClaimAbort(v *victim) {
	c, err := v.p.Claim(background, len(v.payload), 0, 1)
	must(err)
	must(c.Abort())
}

// callCommits commits the open claims, the last first.
func callCommits(v *victim) {
	for i := len(v.claims) - 1; i >= 0; i-- {
		must(v.claims[i].Commit())
		v.did++
	}
}

// openClaim makes a second survivor hold a claim while the victim makes its
// call; it is committed after the death.
func (s *scene) openClaim() {
	p := s.producer(otherSlot)
	b := make([]byte, 60)
	fillMessage(b, otherSlot, s.sent[otherSlot])
	c, err := p.TryClaim(len(b), 0, 1)
	s.must(err)
	copy(c.Bytes(), b)
	s.claim = func() {
		s.must(c.Commit())
		s.sent[otherSlot]++
	}
}

// claiming is a publisher with claims.
var claiming = []*scenario{
	{name: "claim-first", victim: publisher(prepared(64), callClaim), attempts: 1},
	{name: "claim-biased", victim: publisher(biasedAt(0, 64), callClaim), begin: (*scene).sleepDeep, attempts: 1, verify: biasedToVictim},
	{name: "claim-biased-fenced", fenced: true, victim: publisher(biasedAt(0, 64), callClaim), attempts: 1, verify: biasedToVictim},
	{name: "claim-pad", start: 8 << 10, victim: publisher(biasedAt(8<<10-96, 200), callClaim), attempts: 1, verify: position(16<<10 + 256)},
	{name: "claim-revokes", setup: survivorBiased, victim: publisher(prepared(64), callClaim), attempts: 1, verify: revoked},
	{name: "claim-abort", victim: publisher(biasedAt(0, 64), callClaimAbort), begin: (*scene).sleepDeep, attempts: 0, verify: biasedToVictim},
	{name: "claim-over-2^64", start: 1<<64 - 8<<10, victim: publisher(biasedAt(8<<10-96, 200), callClaim), attempts: 1, verify: position(256)},
	{name: "commits", victim: publisher(func(v *victim) { v.bias(); v.claimNow(64); v.claimNow(10); v.claimNow(200) }, callCommits),
		begin: func(s *scene) { s.publish(s.survivor, survivorSlot, 2, 30); s.sleepDeep() }, attempts: 3, anyOrder: true},
	// The ring is full behind the victim's claim, and a publisher waits for
	// just that.
	{name: "commit-for-room", victim: publisher(func(v *victim) { v.claimNow(64) }, callCommits), begin: func(s *scene) {
		s.fullBut(600)
		s.waitForRoom(700)
	}, acts: []func(*scene){drained}, attempts: 1, anyOrder: true},
	{name: "abort-for-room", victim: publisher(func(v *victim) { v.claimNow(64) }, func(v *victim) { must(v.claims[0].Abort()) }), begin: func(s *scene) {
		s.fullBut(600)
		s.waitForRoom(700)
	}},
	// Behind the claim of another.
	{name: "publish-behind-claim", setup: (*scene).openClaim, victim: publisher(biasedAt(0, 64), callPublish), attempts: 1, verify: biasedToVictim},
	{name: "claim-behind-claim", setup: (*scene).openClaim, victim: publisher(prepared(64), callClaim), attempts: 1},
	{name: "trypublish-behind-claim-full", setup: func(s *scene) {
		s.openClaim()
		s.fullBut(600)
	}, victim: publisher(prepared(700), callTryPublish), attempts: 0},
	// pending is walked over claims that have ended.
	{name: "publish-walks-pending", victim: publisher(func(v *victim) {
		for range 4 {
			v.claimNow(64)
		}
		callCommits(v)
		v.claims, v.next, v.did = nil, 4, 0
		v.pause()
		v.bias()
		v.pause()
		v.advance(12 << 10)
		v.pause()
		v.advance(16<<10 - 64)
		v.ready(100)
	}, callPublish), pauses: []func(*scene){drained, drained, drained}, attempts: 1},
}
