package main

// defencesOfControl are those of who comes back, and of who leaves while the host is
// at work for it.
var defencesOfControl = []defence{
	{
		name: "exclusive: nobody drops a publisher that is being mapped", file: "control/host_death.go",
		with: `		if d.state == holderMapping {
			d.unwanted = true
			return
		}
`,
		gone: ``,
		in:   "control", test: `^TestExclusiveLeavesToMapped$`,
	},
	{
		name: "exclusive: unwanted publishers do not stay", file: "control/exclusive.go",
		with: `	case failed || d.unwanted:`,
		gone: `	case failed:`,
		in:   "control", test: `^TestExclusiveLeavesToMapped$`,
	},
	{
		name: "exclusive: a publisher that cannot be mapped is dropped", file: "control/exclusive.go",
		with: `	case failed || d.unwanted:`,
		gone: `	case d.unwanted:`,
		in:   "control", test: `^TestExclusiveThatCannotBeMappedLeavesNothing$`,
	},
	{
		name: "offers count from when they are read", file: "control/host_session.go",
		with: `		s.claims[o.slotID] = struct{}{}
`,
		gone: `		go func() { s.host.mu.Lock(); s.claims[o.slotID] = struct{}{}; s.host.mu.Unlock() }()
`,
		in: "control", test: `^TestReadyComesAfterOffers$`,
	},
	{
		name: "offers wait for a verdict", file: "control/client_grant.go",
		with: `	call := &call{patient: true, message: func(id uint64) any { return offerRequest`,
		gone: `	call := &call{message: func(id uint64) any { return offerRequest`,
		in:   "control", test: `^TestReadyWaitsForVerdicts$`,
	},
	{
		name: "no ready without verdicts", file: "control/election.go",
		with: `	if !whole {
`,
		gone: `	if false {
`,
		in: "control", test: `^TestOfferWithoutVerdictIsMadeAgain$`,
	},
	{
		name: "orphaned publishers are stopped", file: "control/election.go",
		with: `		c.orphan(g)
`,
		gone: ``,
		in:   "control", test: `^TestOrphanedPublisherIsTold$`,
	},
	{
		name: "what found no room is sent", file: "control/client_queue.go",
		with: `	if !c.trySend(l, call, until) {
		c.enqueue(l, call)
	}
`,
		gone: `	c.trySend(l, call, until)
`,
		in: "control", test: `^TestWhatFoundNoRoomIsSent$`,
	},
	{
		name: "releases are told although nobody waits", file: "control/client_queue.go",
		with: `	if !c.isOpen(call, l) && !call.lasting {`,
		gone: `	if !c.isOpen(call, l) {`,
		in:   "control", test: `^TestWhatFoundNoRoomIsSent$`,
	},
	{
		name: "orphaned publishers hear of it", file: "bus/bus.go",
		with: `	p.grant.OnOrphaned(p.orphan)
`,
		gone: ``,
		in:   "bus", test: `^TestOrphanedPublisherStops$`,
	},
	{
		name: "hosts that answer are not stalled", file: "control/client_call.go",
		with: `	if !asked.IsZero() && heard.Before(*asked) {`,
		gone: `	if !asked.IsZero() {`,
		in:   "control", test: `^TestHostThatAnswersIsNotStalled$`,
	},
	{
		name: "who is back is not waited for", file: "control/adopt.go",
		with: `		d.depart()
		d.state, d.session = holderLive, s
`,
		gone: `		d.state, d.session = holderLive, s
`,
		in: "control", test: `^TestReturningLeavesNothingBehind$`,
	},
	{
		name: "exits are found without a watch", file: "control/peer.go",
		with: `			if p.Exited() {
				return nil
			}
`,
		gone: ``,
		in:   "control", test: `^TestPeerThatCannotBeWatched$`,
	},
	{
		name: "grants keep their descriptors open", file: "control/host_grant.go",
		with: `		return reply{files: files, look: g.holder.topic, message`,
		gone: `		return reply{files: files, message`,
		in:   "control", test: `^TestGrantKeepsItsDescriptors$`,
	},
	{
		name: "cancelled handshakes end", file: "control/election.go",
		with: `		if errors.Is(ctx.Err(), context.Canceled) {
			l.conn.Close()
		}
`,
		gone: `		l.conn.c.SetDeadline(time.Unix(1, 0))
`,
		in: "control", test: `^TestCancelledHelloEnds$`,
	},
}
