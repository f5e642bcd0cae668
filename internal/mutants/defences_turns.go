package main

// defencesOfTurns are those of publishers that take turns.
var defencesOfTurns = []defence{
	{
		name: "a crowd shares the bias", file: "ring/lock.go",
		with: `(e.alone >= rebiasAfter || e.crowded())`,
		gone: `e.alone >= rebiasAfter`,
		in:   "ring", test: `^TestCrowdTakesTurns$`,
	},
	{
		name: "who comes back late is no crowd", file: "ring/turns.go",
		with: `		e.crowd = 0
`,
		gone: ``,
		in:   "ring", test: `^TestNoCrowd$`,
	},
	{
		name: "an owner that is nobody is not looked at", file: "ring/turns.go",
		with: `		if slot < 0 || slot >= e.r.geometry.publishers || owners == maxOwners {
			return // if it is nobody's, revoke says so
		}
`,
		gone: ``,
		in:   "ring", test: `^TestIdleOwnerIsNotWaitedFor$`,
	},
	{
		name: "who sleeps for the mutex says so", file: "ring/lock.go",
		with: `		e.startWaiting()
`,
		gone: ``,
		in:   "ring", test: `^TestSleepersSaySo$`,
	},
	{
		name: "who sleeps for room says so", file: "ring/producer.go",
		with: `	p.startWaiting()
`,
		gone: ``,
		in:   "ring", test: `^TestSleepersSaySo$`,
	},
	{
		name: "who has published waits no more", file: "ring/turns.go",
		with: `	e.block.waiting.Store(0) // sync(waiting): pairs with giveWay
`,
		gone: ``,
		in:   "ring", test: `^TestSleepersSaySo$`,
	},
	{
		name: "who waits goes first", file: "ring/turns.go",
		with: `	if p.given() >= p.lookAt && ctx != tryContext {`,
		gone: `	if false {`,
		in:   "ring", test: `^TestGivesWay$`,
	},
	{
		name: "who must not block does not wait for turns", file: "ring/turns.go",
		with: ` && ctx != tryContext {`,
		gone: ` {`,
		in:   "ring", test: `^TestGivesWay$`,
	},
	{
		name: "nobody is waited for in vain twice", file: "ring/turns.go",
		with: `			p.inVain[n] = mark
`,
		gone: ``,
		in:   "ring", test: `^TestGivesWay$`,
	},
	{
		name: "nobody is waited for without end", file: "ring/turns.go",
		with: `		case left <= 0:
			return false
`,
		gone: ``,
		in:   "ring", test: `^TestGivesWay$`,
	},
	{
		name: "a batch has a turn at a time", file: "ring/batch.go",
		with: `		if done += n; n > 0 {
			p.stopWaiting()
`,
		gone: `		if done += n; n > 0 {
`,
		in: "ring", test: `^TestBatchWaitsAnew$`,
	},
	{
		name: "a batch that must not wait has no turns", file: "ring/batch.go",
		with: `		if wait {
			p.yieldTurn(ctx)
		}
`,
		gone: `		p.yieldTurn(ctx)
`,
		in: "ring", test: `^TestGivesWay$`,
	},
	{
		name: "a batch leaves the ring now and then", file: "ring/batch.go",
		with: `p.tail-began < batchMost {`,
		gone: `p.tail-began < 1<<62 {`,
		in:   "ring", test: `^TestBatchLetsOthersIn$`,
	},
	{
		name: "short messages of a batch are looked at now and then", file: "ring/batch.go",
		with: `publishRun(p, payloads[n:min(n+batchRun, len(payloads))], meta, now)`,
		gone: `publishRun(p, payloads[n:], meta, now)`,
		in:   "ring", test: `^TestBatchLetsOthersIn$`,
	},
	{
		name: "a batch copies no large message under the lock", file: "ring/batch.go",
		with: `		if len(payloads[n]) >= largeCopy {`,
		gone: `		if false {`,
		in:   "ring", test: `^TestBatchCopiesOutsideTheLock$`,
	},
	{
		name: "a batch ends with its context", file: "ring/batch.go",
		with: `	return ctx.Err()
`,
		gone: `	return nil
`,
		in: "ring", test: `^TestBatchStops$`,
	},
	{
		name: "a batch ends with its handle", file: "ring/batch.go",
		with: `	if p.stop.Load() != 0 { // sync(stop): pairs with interrupt`,
		gone: `	if false {`,
		in:   "ring", test: `^TestBatchStops$`,
	},
}
