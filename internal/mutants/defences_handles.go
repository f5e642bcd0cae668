package main

// defencesOfHandles are those of the publishers and subscribers that programs
// hold: of how they end, and of what they are given.
var defencesOfHandles = []defence{
	{
		name: "claims are open until they end in any way", file: "bus/claim.go",
		with: `	p.exit(p.rest())
	runtime.KeepAlive(c.publisher)
`,
		gone: `	if err == ring.ErrOrphaned {
		p.claims = append(p.claims, c.Sequence())
	}
	p.exit(p.rest())
	runtime.KeepAlive(c.publisher)
`,
		in: "bus", test: `^TestOrphanedClaimIsOver$`,
	},
	{
		name: "copies of a claim are told from others", file: "bus/claim.go",
		with: `	case !p.strike(c.Sequence()): // a copy`,
		gone: `	case !p.strike(c.Sequence()) && len(p.claims) == 0: // a copy`,
		in:   "bus", test: `^TestCopiesOfAClaim$`,
	},
	{
		name: "orphaned claims are over", file: "ring/claim.go",
		with: `		c.p = nil
		return ErrOrphaned`,
		gone: `		return ErrOrphaned`,
		in:   "ring", test: `^TestLateRepair$`,
	},
	{
		name: "no context is refused outside", file: "bus/publisher.go",
		with: `	if ctx == nil {
		panic("bus: nil Context")
	}`,
		gone: ``,
		in:   "bus", test: `^TestContextsThatPanic$`,
	},
	{
		name: "calls go out when a context panics", file: "bus/publisher.go",
		with: `	defer p.leave() // also when a context panics
	n, err := 0, ctx.Err()`,
		gone: `	n, err := 0, ctx.Err()
	defer p.leave()`,
		in: "bus", test: `^TestContextsThatPanic$`,
	},
	{
		name: "a panic leaves the mutex", file: "ring/lock.go",
		with: `	in := false
	defer func() {
		if !in {`,
		gone: `	in := ctx != tryContext
	defer func() {
		if !in {`,
		in: "ring", test: `^TestContextsThatPanic$`,
	},
	{
		name: "a shared publisher looks at contexts", file: "bus/shared.go",
		with: `	if err := ctx.Err(); err != nil {
		return err
	}
	if s.p.c.config`,
		gone: `	if s.p.c.config`,
		in:   "bus", test: `^TestSharedLooksAtItsContext$`,
	},
	{
		name: "waits for a turn end with their context", file: "bus/shared.go",
		with: `	case <-ctx.Done():
		return false
`,
		gone: `	case <-ctx.Done():
		return true
`,
		in: "bus", test: `^TestSharedTurnEndsWithContext$`,
	},
	{
		name: "who waits for the lock knows its deadline", file: "ring/lock.go",
		with: `		return min(max(time.Until(deadline), minPatience), maxFutexWait)`,
		gone: `		return max(maxFutexWait, time.Until(deadline)*0)`,
		in:   "ring", test: `^TestPatienceEndsWithTheDeadline$`,
	},
	{
		name: "batches that are refused count", file: "ring/batch.go",
		with: `			add(&p.block.stats.refused, 1)
`,
		gone: ``,
		in:   "ring", test: `^TestBatchIsRefused$`,
	},
	{
		name: "loss counts from where one asked to start", file: "ring/host.go",
		with: `		a.Sequence = s.Start.Sequence
`,
		gone: ``,
		in:   "ring", test: `^TestLossBeforeTheStart$`,
	},
	{
		name: "sequences do not come around", file: "ring/host.go",
		with: `end.Sequence < s.Sequence {`,
		gone: `before(end.Sequence, s.Sequence) {`,
		in:   "ring", test: `^TestStartBeyondTheEnd$`,
	},
	{
		name: "views outlive their subscriber", file: "bus/participant.go",
		with: `p.settle(!forgotten || !p.maps)`,
		gone: `p.settle(!forgotten || p.maps)`,
		in:   "bus", test: `^TestViewOutlivesItsSubscriber$`,
	},
}
