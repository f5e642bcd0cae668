package main

// defencesOfRecords are those of what is written out on the hot roads, of what
// is read by others, and of the ways to sleep.
var defencesOfRecords = []defence{
	{
		name: "hot road: active while inside", file: "ring/producer.go",
		with: `	active.Set(p.generation)            // sync(active)`,
		gone: `	active.Set(0)            // sync(active)`,
		in:   "ring", test: `^TestHotRoadsExclude$`, race: true,
	},
	{
		name: "hot road: look at the bias", file: "ring/producer.go",
		with: `	if p.r.log.bias.Load() != p.owned { // sync(bias): pairs with revoke
		active`,
		gone: `	if false { // sync(bias): pairs with revoke
		active`,
		in: "ring", test: `^TestHotRoads$`,
	},
	{
		name: "hot road: next header is zeroed", file: "ring/producer.go",
		with: `	shm.Ref[record](data, offset+extent).commit.Set(0)
	rec.sequence.Set(seq)
	rec.time`,
		gone: `	rec.sequence.Set(seq)
	rec.time`,
		in: "ring", test: `^TestHotRoads$`,
	},
	{
		name: "hot road: wake", file: "ring/producer.go",
		with: `	if p.r.cursors.sleeps.Load() != p.sleepsSeen {`,
		gone: `	if false {`,
		in:   "ring", test: `^TestHotRoads$`,
	},
	{
		name: "hot road: odd records take the long way", file: "ring/producer.go",
		with: `n >= p.fastLimit || before(p.soft, position+extent+recordHeader) {`,
		gone: `n >= p.fastLimit {`,
		in:   "ring", test: `^TestHotRoads$|^TestOthersAreToldInTime$`,
	},
	{
		name: "batch: next header is zeroed", file: "ring/short_amd64.s",
		with: `	MOVQ $0, (DI)(R11*1) // the next header
	MOVQ (Producer_entrant+entrant_sequence)(R8), BX
	MOVQ BX, record_sequence(DI)
	INCQ`,
		gone: `	MOVQ (Producer_entrant+entrant_sequence)(R8), BX
	MOVQ BX, record_sequence(DI)
	INCQ`,
		in: "ring", test: `^TestHotRoads$`,
	},
	{
		name: "batch: wake", file: "ring/batch.go",
		with: `		p.count(uint64(n), bytes)
		p.wake()
`,
		gone: `		p.count(uint64(n), bytes)
`,
		in: "ring", test: `^TestHotRoads$`,
	},
	{
		name: "PAD carries the sequence behind it", file: "ring/producer.go",
		with: `	rec.sequence.Set(p.sequence) // of the record behind it
`,
		gone: ``,
		in:   "ring", test: `^TestCursorsHoldPublishersBack$`,
	},
	{
		name: "PAD uses no sequence", file: "ring/lock.go",
		with: `		if w.state() != statePad {
			e.sequence++
		}
`,
		gone: `		e.sequence++
`,
		in: "ring", test: `^TestDeathAtEveryPoint$`,
	},
	{
		name: "claims say whose they are", file: "ring/claim.go",
		with: `	rec.meta.Set(packMeta(kind, p.slot))
	p.r.log.busyEnd`,
		gone: `	p.r.log.busyEnd`,
		in:   "ring", test: `^TestEveryOrphanIsAborted$`,
	},
	{
		name: "commit after the payload's fields", file: "ring/producer.go",
		with: `	rec.sequence.Set(p.sequence)
	rec.time.Set(uint64(now))
	rec.meta.Set(packMeta(kind, p.slot))
	p.r.data`,
		gone: `	rec.commit.Store(uint64(packCommit(stateCommitted, position, uint64(len(payload)))))
	rec.sequence.Set(p.sequence)
	rec.time.Set(uint64(now))
	rec.meta.Set(packMeta(kind, p.slot))
	p.r.data`,
		in: "ring", test: `^TestDeathAtEveryPoint$`,
	},
	{
		name: "catch-up stores the tail", file: "ring/lock.go",
		with: `	e.storeTail()
	e.newGates()
`,
		gone: `	e.newGates()
`,
		in: "ring", test: `^TestDeathAtEveryPoint$|^TestOthersAreToldInTime$`,
		harmless: "the first record of an entry passes makeRoom (catch-up sets soft to the tail), which stores the tail where it is too far behind",
	},
	{
		name: "catch-up stops at what is no record", file: "ring/lock.go",
		with: `			if w != 0 {
				return e.r.corrupt(e.tail, w, "a zero header at the end,")
			}
`,
		gone: ``,
		in:   "ring", test: `^TestForgedRecords$`,
	},
	{
		name: "catch-up reads claimed", file: "ring/lock.go",
		with: `	e.stored, e.claimed = e.tail, h.claimed.Load() `,
		gone: `	e.stored, e.claimed = e.tail, e.tail `,
		in:   "ring", test: `^TestClaimedNeverFalls$`,
	},
	{
		name: "tails are aligned", file: "ring/lock.go",
		with: `	if e.tail%recordAlign != 0 {`,
		gone: `	if false {`,
		in:   "ring", test: `^TestForgedWords$`,
	},
	{
		name: "mutex of a slot", file: "ring/lock.go",
		with: `		if slot := identitySlot(word & identityBits); slot < 0 || slot > e.r.geometry.HostSlot() {`,
		gone: `		if slot := identitySlot(word & identityBits); slot < -1 {`,
		in:   "ring", test: `^TestForgedWords$`,
	},
	{
		name: "bias of a slot", file: "ring/lock.go",
		with: `	if slot < 0 || slot > e.r.geometry.HostSlot() || b&^(identityBits|biasOwned|biasRevoking) != 0 {`,
		gone: `	if slot < -1 || b&^(identityBits|biasOwned|biasRevoking) != 0 {`,
		in:   "ring", test: `^TestForgedWords$`,
	},
	{
		name: "bias of a kind", file: "ring/lock.go",
		with: `	if slot < 0 || slot > e.r.geometry.HostSlot() || b&^(identityBits|biasOwned|biasRevoking) != 0 {`,
		gone: `	if slot < 0 && b != 1<<40 || slot > e.r.geometry.HostSlot() {`,
		in:   "ring", test: `^TestForgedWords$`,
	},
	{
		name: "pending lies within the last lap", file: "ring/space.go",
		with: `	if !within(old, e.tail-e.r.capacity, e.tail) || old%recordAlign != 0 {`,
		gone: `	if old%recordAlign != 0 {`,
		in:   "ring", test: `^TestForgedWords$`,
	},
	{
		name: "pending is raised", file: "ring/space.go",
		with: `		h.pending.Store(p) // sync(pending): pairs with walkPending, abortOrphans
`,
		gone: ``,
		in:   "ring", test: `^TestRepairKeepsUp$|^TestModel$`,
	},
	{
		name: "hot road: lengths are checked", file: "ring/consumer.go",
		with: ` || before(c.soft, position+extent) || rec.sequence.Get() != c.sequence {`,
		gone: ` || rec.sequence.Get() != c.sequence {`,
		in:   "ring", test: `^TestForgedRecords$`,
	},
	{
		name: "hot road: records end within the ring", file: "ring/consumer.go",
		with: `c.soft = earlier(c.published+c.lazy, c.position+c.r.capacity-c.position&c.mask)`,
		gone: `c.soft = c.published + c.lazy`,
		in:   "ring", test: `^TestForgedRecords$`,
	},
	{
		name: "hot road: tags are compared", file: "ring/consumer.go",
		with: `	if w.head() != committedAt(position) || before`,
		gone: `	if w.state() != stateCommitted || before`,
		in:   "ring", test: `^TestForgedRecords$`,
	},
	{
		name: "hot road: sequences are compared", file: "ring/consumer.go",
		with: `before(c.soft, position+extent) || rec.sequence.Get() != c.sequence {
		return c.takeSlow()`,
		gone: `before(c.soft, position+extent) {
		return c.takeSlow()`,
		in: "ring", test: `^TestForgedRecords$`,
	},
	{
		name: "looking ahead: records end before what is due", file: "ring/poll.go",
		with: `		if before(c.soft, end) || rec.`,
		gone: `		if rec.`,
		in:   "ring", test: `^TestForgedRecords$`,
	},
	{
		name: "looking ahead: tags are compared", file: "ring/poll.go",
		with: `			if w.head() != committedAt(position) {`,
		gone: `			if w.state() != stateCommitted {`,
		in:   "ring", test: `^TestForgedRecords$`,
	},
	{
		name: "looking ahead: sequences are compared", file: "ring/poll.go",
		with: `before(c.soft, end) || rec.sequence.Get() != sequence {`,
		gone: `before(c.soft, end) {`,
		in:   "ring", test: `^TestForgedRecords$`,
	},
	{
		name: "looking ahead: the detached take nothing of it", file: "ring/poll.go",
		with: `	if c.gateWord.Load() != c.generation { // sync(gateGeneration): pairs with ungate
		c.Settle()
		return c.fail(ErrDetached)
	}
`,
		gone: ``,
		in:   "ring", test: `^TestDetachedAreTold$`,
	},
	{
		name: "looking ahead: claims of the dead are nothing", file: "ring/poll.go",
		with: `|| w.state() == stateBusy && c.r.orphaned(rec, w))`,
		gone: `|| w.state() == stateBusy && c.r.orphaned(rec, w) && false)`,
		in:   "ring", test: `^TestLastBesideTheDead$`,
	},
	{
		name: "lossy readers know states", file: "ring/lossy.go",
		with: `!known || w.state() == stateFree || w`,
		gone: `!known || w`,
		in:   "ring", test: `^TestForgedRecords$`,
	},
	{
		name: "who may not be far behind says sooner how far it is", file: "ring/consumer.go",
		with: `		c.lazy = min(c.lazy, min(c.lazy, most)/2*recordAlign)
`,
		gone: `		_ = most
`,
		in: "bus", test: `^TestMaxLagSparesTheDiligent$`,
	},
	{
		name: "a closed handle takes nothing that it does not hand on", file: "bus/poll.go",
		with: `		if c.isCut() {
			return n, c.cut()
		}
		some, ahead`,
		gone: `		some, ahead`,
		in:   "bus", test: `^TestCloseInPoll$`,
	},
	{
		name: "a closed handle says that it was detached", file: "bus/poll.go",
		with: `	if err := c.consumer.EndPoll(); err != nil {
		return err
	}
	return ErrClosed`,
		gone: `	return ErrClosed`,
		in:   "bus", test: `^TestDetachedInPoll$`,
	},
	{
		name: "sequences are compared", file: "ring/consumer.go",
		with: `		if !w.whole(offset, c.r.capacity) || rec.sequence.Load() != c.sequence {`,
		gone: `		if !w.whole(offset, c.r.capacity) {`,
		in:   "ring", test: `^TestForgedRecords$`,
	},
	{
		name: "hot road: detached readers notice", file: "ring/consumer.go",
		with: `	if c.gateWord.Load() != c.generation { // sync(gateGeneration): pairs with ungate
		return c.takeSlow()
	}
`,
		gone: ``,
		in:   "ring", test: `^TestDetachedAreTold$`,
	},
	{
		name: "detached readers disown their last batch", file: "ring/poll.go",
		with: `	if c.options.Mode == Reliable && !c.gated() {
		return c.fail(ErrDetached)
	}
	c.Release()`,
		gone: `	c.Release()`,
		in:   "ring", test: `^TestDetachedAreTold$`,
	},
	{
		name: "cursor is published when there is nothing", file: "ring/consumer.go",
		with: `		// wait: a publisher may be waiting for just that.
		c.Release()
`,
		gone: ``,
		in:   "ring", test: `^TestCursorIsPublishedWhenEmpty$`,
	},
	{
		name: "cursors wake waiters for space", file: "ring/consumer.go",
		with: `	if s := c.r.log.spaceSleeps.Load(); s != c.spaceSeen {`,
		gone: `	if s := c.r.log.spaceSleeps.Load(); s != s+0*c.spaceSeen {`,
		in:   "ring", test: `^TestCursorIsPublishedWhenEmpty$`,
	},
	{
		name: "lossy readers look again before they sleep", file: "ring/consumer.go",
		with: `		return c.overrun()
	}
	return !c.gated()`,
		gone: `		return false
	}
	return !c.gated()`,
		in: "ring", test: `^TestEmptyIsLookedAtTwice$`,
	},
	{
		name: "sleeper announces itself", file: "ring/wait.go",
		with: `	c.header.sleeps.Add(1)    `,
		gone: `	c.header.sleeps.Add(0)    `,
		in:   "ring", test: `^TestNobodySleepsThroughAMessage$`, race: true,
	},
	{
		name: "sleeper's barrier", file: "ring/wait.go",
		with: `	_ = c.r.barrier()  `,
		gone: `	_ = 0  `,
		in:   "ring", test: `^TestNobodySleepsThroughAMessage$`, race: true,
	},
	{
		name: "waiter for space announces itself", file: "ring/producer.go",
		with: `	p.r.log.spaceSleeps.Add(1) `,
		gone: `	p.r.log.spaceSleeps.Add(0) `,
		in:   "ring", test: `^TestNobodySleepsThroughRoom$`, race: true,
	},
	{
		name: "waiter for space's barrier", file: "ring/producer.go",
		with: `	_ = p.r.barrier() `,
		gone: `	_ = 0 `,
		in:   "ring", test: `^TestNobodySleepsThroughRoom$`, race: true,
	},
	{
		name: "fence on entry of a fenced ring", file: "ring/lock.go",
		with: `	if e.r.options.Fenced {
		shm.FenceFull()
	}
	if bias`,
		gone: `	if bias`,
		in:   "ring", test: `^TestMutualExclusion$`, race: true,
	},
	{
		name: "fence before looking for sleepers", file: "ring/claim.go",
		with: `	if p.r.options.Fenced {
		shm.FenceFull()
	}
	if s`,
		gone: `	if s`,
		in:   "ring", test: `^TestNobodySleepsThroughAMessage$`, race: true,
	},
	{
		name: "fence before looking for waiters for space", file: "ring/consumer.go",
		with: `	if c.r.options.Fenced {
		shm.FenceFull()
	}
	if s`,
		gone: `	if s`,
		in:   "ring", test: `^TestNobodySleepsThroughRoom$`, race: true,
	},
	{
		name: "repair keeps up with publishers", file: "ring/repair.go",
		with: `now := h.pending.Load(); before(p, now) {`,
		gone: `now := h.pending.Load(); before(now, 0) {`,
		in:   "ring", test: `^TestRepairKeepsUp$`,
	},
	{
		name: "death wakes everybody", file: "ring/repair.go",
		with: `	h.Wake() // doorbells first, whether or not it owned anything
`,
		gone: ``,
		in:   "ring", test: `^TestRepairWakes$`,
	},
	{
		name: "death rings for claims", file: "ring/host.go",
		with: `		log.pendingDoorbell.Add(1) // sync(pendingDoorbell): pairs with waitForSpace
`,
		gone: ``,
		in:   "ring", test: `^TestRepairWakes$`,
	},
	{
		name: "new gates have a new epoch", file: "ring/host.go",
		with: `	log.gateEpoch.Store(log.gateEpoch.Load() + 1) `,
		gone: `	log.gateEpoch.Store(log.gateEpoch.Load()) `,
		in:   "ring", test: `^TestNewGateIsSeen$`,
	},
	{
		name: "gates have a generation", file: "ring/host.go",
		with: `	log.gateGenerations[s.Slot].Store(s.Gen) `,
		gone: `	log.gateGenerations[s.Slot].Store(1 << 20) `,
		in:   "ring", test: `^TestCursorsHoldPublishersBack$`,
	},
	{
		name: "options of a ring make sense", file: "ring/format.go",
		with: `	if _, err := o.Geometry(); err != nil {
		return Options{}, &CorruptError`,
		gone: `	if _, err := o.Geometry(); false {
		return Options{}, &CorruptError`,
		in: "ring", test: `^TestOpenRefuses$|^FuzzAttach$`,
	},
	{
		name: "log region has its size", file: "ring/format.go",
		with: `	if int64(len(log)) != g.LogSize() {
		return nil, &CorruptError`,
		gone: `	if false {
		return nil, &CorruptError`,
		in: "ring", test: `^TestOpenRefuses$`,
	},
	{
		name: "cursor region has its size", file: "ring/format.go",
		with: `g Geometry) (*cursorHeader, error) {
	if int64(len(b)) != g.CursorSize() {
		return nil, &CorruptError{Region: "cursors"`,
		gone: `g Geometry) (*cursorHeader, error) {
	if false {
		return nil, &CorruptError{Region: "cursors"`,
		in: "ring", test: `^TestOpenRefuses$`,
	},
	{
		name: "exclusive: attached in time", file: "ring/exclusive.go",
		with: `				if !before(a.Position+r.capacity, r.log.claimed.Load()) {`,
		gone: `				if true {`,
		in:   "ring", test: `^TestExclusiveAttachUnderLoad$`, race: true,
	},
	{
		name: "exclusive: publisher looks for new gates behind claimed", file: "ring/space.go",
		with: `	return e.r.options.Exclusive && e.newGatesBehind()`,
		gone: `	return false`,
		in:   "ring", test: `^TestExclusiveAttachMeanwhile$`,
	},
	{
		name: "exclusive: publisher looks for new gates", file: "ring/space.go",
		with: `		e.newGates() // nobody enters to tell us
`,
		gone: ``,
		in:   "ring", test: `^TestExclusiveAttachUnderLoad$|^TestExclusiveHoldsForReliable$`,
	},
	{
		name: "exclusive: the end of the publisher is the end", file: "ring/exclusive.go",
		with: `r.cursors.ended.CompareAndSwap(0, gen) {`,
		gone: `gen == 0 {`,
		in:   "ring", test: `^TestExclusiveDeathWithClaims$`,
	},
	{
		name: "exclusive: the log is sealed against writing", file: "shm/region_exclusive_linux.go",
		with: `	return r.addSeals(unix.F_SEAL_FUTURE_WRITE | unix.F_SEAL_SEAL)`,
		gone: `	return r.addSeals(unix.F_SEAL_SEAL)`,
		in:   "shm", test: `^TestSealWrites$`,
	},
	{
		name: "exclusive: seals of received logs", file: "shm/region_exclusive_linux.go",
		with: `	if got != sealsExclusive && !(writer && got == sealsSize) {`,
		gone: `	if got == 0 {`,
		in:   "shm", test: `^TestSealWrites$|^TestCheckExclusive`,
	},
	{
		name: "exclusive: the host seals the log", file: "control/exclusive.go",
		with: `	if err := r.log.rw.SealWrites(); err != nil {`,
		gone: `	if err := error(nil); err != nil {`,
		in:   "control", test: `^TestExclusiveLogIsReadOnlyForAll$`,
		harmless: "the publisher seals it as soon as it has mapped it, before it says so to the host, and nobody else has a descriptor before that",
	},
	{
		name: "exclusive: the publisher seals the log", file: "control/attachment.go",
		with: `		if err := a.regions[0].SealWrites(); err != nil {`,
		gone: `		if err := error(nil); err != nil {`,
		in:   "control", test: `^TestExclusiveLogIsReadOnlyForAll$`,
		harmless: "the host seals it when the publisher has mapped it, before the topic is live and anybody else gets a descriptor",
	},
	{
		name: "participants register for the barrier", file: "ring/lock.go",
		with: `	if err := shm.RegisterMembarrier(); err != nil {`,
		gone: `	if err := error(nil); err != nil {`,
		in:   "ring", test: `^TestMutualExclusion$`, race: true,
	},
	{
		name: "sleeps are bounded", file: "ring/parker.go",
		with: `	minPark = 50 * time.Millisecond`,
		gone: `	minPark = time.Hour`,
		in:   "ring", test: `^TestCondemnedByTheDead$`, race: true, // with its last look
	},
	{
		name: "waits for the mutex are bounded", file: "ring/lock.go",
		with: `	maxFutexWait = 50 * time.Millisecond`,
		gone: `	maxFutexWait = time.Hour`,
		in:   "ring", test: `^TestStalledCallsGiveUp$`,
	},
}
