package main

// defencesOfRing are those of the ring.
var defencesOfRing = []defence{
	{
		name: "mutex keeps its waiters", file: "ring/lock.go",
		with: `m.CompareAndSwap(0, e.identity|slept)`,
		gone: `m.CompareAndSwap(0, e.identity|slept&0)`,
		in:   "ring", test: `^TestSleepersAreNotForgotten$`,
	},
	{
		name: "bias before unlock", file: "ring/lock.go",
		with: `	if trick.Bias && mayRebias && (e.alone >= rebiasAfter || e.crowded()) && h.mutex.Load()&lockWaiters == 0 {
		// Before the mutex is released: after it, another might be inside.
		h.bias.Store(e.owned) // sync(bias): pairs with enterBiased
		e.alone = 0
	}
	e.unlock()`,
		gone: `	e.unlock()
	if trick.Bias && mayRebias && e.alone >= rebiasAfter {
		h.bias.Store(e.owned) // sync(bias): pairs with enterBiased
		e.alone = 0
	}`,
		in: "ring", test: `^TestMutualExclusion$`, race: true,
	},
	{
		name: "no bias while others wait", file: "ring/lock.go",
		with: ` && h.mutex.Load()&lockWaiters == 0 {`,
		gone: ` {`,
		in:   "ring", test: `^TestNoBiasWhileOthersWait$`,
	},
	{
		name: "active while inside", file: "ring/lock.go",
		with: `	e.block.active.Set(e.generation) // sync(active): the revoker's membarrier orders this before the next load
	if e.r.options.Fenced`,
		gone: `	if e.r.options.Fenced`,
		in:   "ring", test: `^TestMutualExclusion$`, race: true,
	},
	{
		name: "bias is read again when active", file: "ring/lock.go",
		with: `	if bias.Load() == e.owned { // sync(bias): pairs with revoke
		e.biased = true`,
		gone: `	if true { // sync(bias): pairs with revoke
		e.biased = true`,
		in: "ring", test: `^TestMutualExclusion$`, race: true,
	},
	{
		name: "REVOKING, not 0", file: "ring/lock.go",
		with: `bias.CompareAndSwap(b, biasRevoking|uint64(x))`,
		gone: `bias.CompareAndSwap(b, 0)`,
		in:   "ring", test: `^TestDeadRevoker$`,
	},
	{
		name: "revoker waits for the owner", file: "ring/lock.go",
		with: `spins := 0; active.Load() == identityGeneration(x); spins++`,
		gone: `spins := 0; active.Load() == identityGeneration(x) && spins < 0; spins++`,
		in:   "ring", test: `^TestMutualExclusion$`, race: true,
	},
	{
		name: "revoker's barrier", file: "ring/lock.go",
		with: `	if err := e.r.barrier(); err != nil {
		return err // bias`,
		gone: `	if err := error(nil); err != nil {
		return err // bias`,
		in: "ring", test: `^TestMutualExclusion$`, race: true,
	},
	{
		name: "catching up", file: "ring/lock.go",
		with: `		if w.state() == stateFree || !w.of(e.tail) {`,
		gone: `		if true {`,
		in:   "ring", test: `^TestDeathAtEveryPoint$`,
	},
	{
		name: "sequence from the last record", file: "ring/lock.go",
		with: `		e.sequence = rec.sequence.Load()
		if w.state() != statePad {
			e.sequence++
		}
		e.tail += w.extent()`,
		gone: `		e.tail += w.extent()`,
		in:   "ring", test: `^TestDeathAtEveryPoint$`,
	},
	{
		name: "new gates are seen by all", file: "ring/lock.go",
		with: `epoch != e.epoch`,
		gone: `false`,
		in:   "ring", test: `^TestNewGateIsSeen$`,
	},
	{
		name: "sequence before tail", file: "ring/lock.go",
		with: `	e.r.log.sequence.Store(e.sequence)
	e.r.log.tail.Store(e.tail) // sync(tail): pairs with catchUp
`,
		gone: `	e.r.log.tail.Store(e.tail) // sync(tail): pairs with catchUp
	e.r.log.sequence.Store(e.sequence)
`,
		in: "internal/steps", test: `^TestEnumeratedDeath$/^publish-first$`,
	},
	{
		name: "calls give up when their context does", file: "ring/lock.go",
		with: `	if err := ctx.Err(); err != nil {
		slot := identitySlot(identity)`,
		gone: `	if err := error(nil); err != nil {
		slot := identitySlot(identity)`,
		in: "ring", test: `^TestStalledCallsGiveUp$`,
	},
	{
		name: "claimed before overwriting", file: "ring/space.go",
		with: `	e.r.log.claimed.Store(e.claimed) // sync(claimed): pairs with overrun
`,
		gone: ``,
		in:   "ring", test: `^TestOthersAreToldInTime$`,
	},
	{
		name: "stored tail gates", file: "ring/space.go",
		with: `	if before(e.stored+fraction(e.r.capacity), end) || !trick.Soft {
		e.storeTail()
	}
`,
		gone: ``,
		in:   "ring", test: `^TestOthersAreToldInTime$`,
	},
	{
		name: "claims gate", file: "ring/space.go",
		with: `		if w.state() == stateBusy {
			break
		}
		p += w.extent()
	}
	if p != old`,
		gone: `		p += w.extent()
	}
	if p != old`,
		in: "ring", test: `^TestClaimsHoldPublishersBack$`,
	},
	{
		name: "cursors gate", file: "ring/space.go",
		with: `earlier(cursor, pending)+e.r.capacity`,
		gone: `pending+e.r.capacity`,
		in:   "ring", test: `^TestCursorsHoldPublishersBack$`,
	},
	{
		name: "impossible cursors are nobody's", file: "ring/space.go",
		with: `			if !within(c, e.tail-e.r.capacity, e.tail) {
				if evict`,
		gone: `			if false {
				if evict`,
		in: "ring", test: `^TestForgedCursors$`,
	},
	{
		name: "a gate bit without a generation holds nobody back", file: "ring/space.go",
		with: `				continue // whoever detached it died before it cleared the bit
`,
		gone: ``,
		in:   "ring", test: `^TestHalfDetachedHoldNobody$`,
	},
	{
		name: "detached by generation", file: "ring/space.go",
		with: `	if generation != 0 && r.log.gateGenerations[n].CompareAndSwap(generation, 0) { // sync(gateGeneration): pairs with gated`,
		gone: `	if r.log.gateGenerations[n].Swap(0) != 0 { // sync(gateGeneration): pairs with gated`,
		in:   "ring", test: `^TestLateDetach$`,
	},
	{
		name: "laggards are detached", file: "ring/space.go",
		with: `e.sequence-b.sequence.Load() > most`,
		gone: `false`,
		in:   "ring", test: `^TestLaggardsAreDetached$`,
	},
	{
		name: "sparse index", file: "ring/space.go",
		with: `		slot.Store(start) // sync(index): pairs with oldest
`,
		gone: ``,
		in:   "ring", test: `^TestConformanceHeap$/^biased/^start=0$/^earliest_after_a_lap$`,
	},
	{
		name: "repair ends being inside", file: "ring/repair.go",
		with: `r.publisher(slot).active.CompareAndSwap(gen, 0)`,
		gone: `false`,
		in:   "ring", test: `^TestRepairFreesTheLock$`,
	},
	{
		name: "repair frees the mutex", file: "ring/repair.go",
		with: `		if word&identityBits != id {
			break`,
		gone: `		if true {
			break`,
		in: "ring", test: `^TestRepairFreesTheLock$`,
	},
	{
		name: "repair frees a mutex that others sleep on", file: "ring/repair.go",
		with: `		if r.log.mutex.CompareAndSwap(word, 0) {`,
		gone: `		if !r.log.mutex.CompareAndSwap(id, 0) {
			break
		} else {`,
		in: "ring", test: `^TestRepairFreesTheLock$`,
	},
	{
		name: "repair of active by generation", file: "ring/repair.go",
		with: `r.publisher(slot).active.CompareAndSwap(gen, 0)`,
		gone: `r.publisher(slot).active.Swap(0) != 0`,
		in:   "ring", test: `^TestLateRepair$`,
	},
	{
		name: "repair of the bias by generation", file: "ring/repair.go",
		with: `		r.log.bias.CompareAndSwap(b, 0)
`,
		gone: `		if now := r.log.bias.Load(); now&0xff == b&0xff {
			r.log.bias.Store(0)
		}
`,
		in: "ring", test: `^TestLateRepair$`,
	},
	{
		name: "repair of the slot by generation", file: "ring/repair.go",
		with: ` || !is() {`,
		gone: ` || false && !is() {`,
		in:   "ring", test: `^TestLateRepair$`,
	},
	{
		name: "repair of the mutex by generation", file: "ring/repair.go",
		with: `		if word&identityBits != id {
			break`,
		gone: `		if word&0xff != id&0xff {
			break`,
		in: "ring", test: `^TestLateRepair$`,
	},
	{
		name: "repair ends the bias", file: "ring/repair.go",
		with: `		r.log.bias.CompareAndSwap(b, 0)
`,
		gone: `		_ = b
`,
		in: "ring", test: `^TestRepairEndsTheBias$`,
	},
	{
		name: "claims of the dead are aborted", file: "ring/repair.go",
		with: `if w.state() == stateBusy && int(owner) == slot &&`,
		gone: `if int(owner) < 0 &&`,
		in:   "ring", test: `^TestEveryOrphanIsAborted$`,
	},
	{
		name: "claims of the living are left alone", file: "ring/repair.go",
		with: ` && int(owner) == slot &&`,
		gone: ` && int(owner) >= 0 &&`,
		in:   "ring", test: `^TestEveryOrphanIsAborted$`,
	},
	{
		name: "repair goes to the last claim", file: "ring/repair.go",
		with: `before(p, end); steps++`,
		gone: `before(p, end) && steps < 1; steps++`,
		in:   "ring", test: `^TestEveryOrphanIsAborted$`,
	},
	{
		name: "slots are free when claims are aborted", file: "ring/repair.go",
		with: `	if err == nil {
		h.free(`,
		gone: `	if true {
		h.free(`,
		in: "ring", test: `^TestSlotStaysWithItsClaims$`,
	},
	{
		name: "doorbells before wakes", file: "ring/host.go",
		with: `	log.doorbell.Add(1)        // sync(doorbell): pairs with prepareSleep
`,
		gone: ``,
		in:   "ring", test: `^TestDoorbellsChange$`,
	},
	{
		name: "death wakes waiters for space", file: "ring/host.go",
		with: `	cur.spaceDoorbell.Add(1) // sync(spaceDoorbell): pairs with waitForSpace
`,
		gone: ``,
		in:   "ring", test: `^TestDoorbellsChange$`,
	},
	{
		name: "new host repairs the old", file: "ring/host.go",
		with: `		h.r.freeLock(slot, old)
`,
		gone: ``,
		in:   "ring", test: `^TestNewHostFreesTheLock$`,
	},
	{
		name: "slots are granted once", file: "ring/host.go",
		with: `	if h.r.log.publisherSlots.Load()>>slot&1 != 0 {`,
		gone: `	if false {`,
		in:   "ring", test: `^TestSlots$`,
	},
	{
		name: "busy end before BUSY", file: "ring/claim.go",
		with: `	p.r.log.busyEnd.Store(p.tail) // sync(busyEnd): pairs with walkPending, abortOrphans
`,
		gone: ``,
		in:   "ring", test: `^TestEveryOrphanIsAborted$`,
	},
	{
		name: "orphaned claims do not commit", file: "ring/claim.go",
		with: `	if !c.rec.commit.CompareAndSwap(uint64(c.busy), uint64(c.busy.with(state))) {`,
		gone: `	c.rec.commit.Store(uint64(c.busy.with(state)))
	if false {`,
		in: "ring", test: `^TestLateRepair$`,
	},
	{
		name: "commits wake", file: "ring/claim.go",
		with: `	c.p.wake()
	c.p.wakePending()
`,
		gone: `	c.p.wakePending()
`,
		in: "ring", test: `^TestDoorbellsChange$`,
	},
	{
		name: "ends of claims wake waiters for space", file: "ring/claim.go",
		with: `	c.p.wake()
	c.p.wakePending()
`,
		gone: `	c.p.wake()
`,
		in: "ring", test: `^TestDoorbellsChange$`,
	},
	{
		name: "doorbell before wake", file: "ring/claim.go",
		with: `	d.Add(1) // sync(doorbell): pairs with prepareSleep
`,
		gone: ``,
		in:   "ring", test: `^TestDoorbellsChange$`,
	},
	{
		name: "lossy readers look at claimed", file: "ring/lossy.go",
		with: `	return before(c.position+c.r.capacity, claimed)`,
		gone: `	return claimed != claimed`,
		in:   "ring", test: `^TestConformanceHeap$/^biased/^start=0$/^lossy$`,
	},
	{
		name: "lengths are checked", file: "ring/record.go",
		with: `	return e <= limit && offset+e <= capacity`,
		gone: `	return e <= limit && offset+e <= capacity || true`,
		in:   "ring", test: `^TestForgedRecords$`,
	},
	{
		name: "tags are compared", file: "ring/record.go",
		with: `{ return uint64(w)>>36 == position>>5&(1<<28-1) }`,
		gone: `{ return true }`,
		in:   "ring", test: `^TestForgedRecords$`,
	},
	{
		name: "magic comes first", file: "ring/format.go",
		with: `if m := h.magic.Load(); m != logMagic {`,
		gone: `if m := h.magic.Load(); false {`,
		in:   "ring", test: `^TestOpenRefuses$`,
	},
	{
		name: "layout version", file: "ring/format.go",
		with: `	if v := h.version; v != LayoutVersion {
		return Options{}`,
		gone: `	if v := h.version; false {
		return Options{}`,
		in: "ring", test: `^TestOpenRefuses$`,
	},
	{
		name: "regions belong together", file: "ring/format.go",
		with: `if id := h.id; id != o.ID {`,
		gone: `if id := h.id; false {`,
		in:   "ring", test: `^TestOpenRefuses$`,
	},
	{
		name: "who waits in a condemned ring is told", file: "ring/wait.go",
		with: `func (c *Consumer) overdue() bool { return c.due() || c.r.condemned() }`,
		gone: `func (c *Consumer) overdue() bool { return c.due() }`,
		in:   "ring", test: `^TestCondemnedByTheDead$`,
	},
	{
		name: "condemned lock words", file: "ring/lock.go",
		with: `		if word&identityBits == condemned {
			return errCondemned
		}
`,
		gone: ``,
		in:   "ring", test: `^TestCondemned$`,
	},
	{
		name: "lock words of nobody are found", file: "ring/check.go",
		with: `	if m != 0 && (m&^(identityBits|lockWaiters) != 0 || !r.granted(m&identityBits)) {`,
		gone: `	if false {`,
		in:   "ring", test: `^TestCheckFinds$`,
	},
	{
		name: "next header is zeroed", file: "ring/producer.go",
		with: `	p.r.at(position + extent).commit.Set(0)
	p.tail = position + extent
`,
		gone: `	p.tail = position + extent
`,
		in: "ring", test: `^TestModel$|^TestDeathAtEveryPoint$`,
	},
	{
		name: "header behind a PAD is zeroed", file: "ring/producer.go",
		with: `func (p *Producer) pad(position uint64) {
	p.r.at(position).commit.Set(0)
`,
		gone: `func (p *Producer) pad(position uint64) {
`,
		in: "ring", test: `^TestPadZeroesFirst$`,
	},
	{
		name: "publishing wakes", file: "ring/producer.go",
		with: `	p.count(1, uint64(len(payload)))
	p.wake()
`,
		gone: `	p.count(1, uint64(len(payload)))
`,
		in: "ring", test: `^TestDoorbellsChange$`,
	},
	{
		name: "detached readers notice", file: "ring/consumer.go",
		with: `	if !c.gated() {
		return nil, Header{}, c.fail(ErrDetached)
	}
`,
		gone: ``,
		in:   "ring", test: `^TestDetachedAreTold$`,
	},
}
