package main

// defences are what must not be missing, by package from the bottom up.
var defences = []defence{
	{
		name: "seal against shrinking", file: "shm/region_linux.go",
		with: `unix.F_ADD_SEALS, sealsRequired)`,
		gone: `unix.F_ADD_SEALS, sealsRequired&^unix.F_SEAL_SHRINK)`,
		in:   "shm", test: `^TestSealFixesSize$`,
	},
	{
		name: "seal against growing", file: "shm/region_linux.go",
		with: `unix.F_ADD_SEALS, sealsRequired)`,
		gone: `unix.F_ADD_SEALS, sealsRequired&^unix.F_SEAL_GROW)`,
		in:   "shm", test: `^TestSealFixesSize$`,
	},
	{
		name: "seal against more seals", file: "shm/region_linux.go",
		with: `unix.F_ADD_SEALS, sealsRequired)`,
		gone: `unix.F_ADD_SEALS, sealsRequired&^unix.F_SEAL_SEAL)`,
		in:   "shm", test: `^TestSealFixesSize$`,
	},
	{
		name: "seals of received regions", file: "shm/region_linux.go",
		with: `if seals&sealsRequired != sealsRequired || seals&^sealsAllowed != 0 {`,
		gone: `if false {`,
		in:   "shm", test: `^TestCheck$`,
	},
	{
		name: "size of received regions", file: "shm/region_linux.go",
		with: `if size != wantSize || size != r.size {`,
		gone: `if false {`,
		in:   "shm", test: `^TestCheck`,
	},
	{
		name: "only memfds are regions", file: "shm/region_linux.go",
		with: `if fs.Type != unix.TMPFS_MAGIC {`,
		gone: `if false {`,
		in:   "shm", test: `^TestHugePagesAreRefused$|^TestFileInTmpfsIsRefused$|^TestFromFileRefuses$`,
	},
	{
		name: "forks do not inherit memory", file: "shm/mapping_linux.go",
		with: `{{unix.MADV_DONTFORK, "MADV_DONTFORK"}, {`,
		gone: `{{`,
		in:   "shm", test: `^TestMappingStaysOutOfForksAndDumps$`,
	},
	{
		name: "dumps leave messages out", file: "shm/mapping_linux.go",
		with: `, {unix.MADV_DONTDUMP, "MADV_DONTDUMP"}}`,
		gone: `}`,
		in:   "shm", test: `^TestMappingStaysOutOfForksAndDumps$`,
	},
	{
		name: "barrier", file: "shm/membarrier_linux.go",
		with: `return membarrier(membarrierCmdGlobalExpedited, membarrierGlobal)`,
		gone: `return nil`,
		in:   "ring", test: `^TestMutualExclusion$`,
	},
	{
		name: "futexes are shared", file: "shm/futex_linux.go",
		with: `func FutexWake(w *Word32, n int) int { return futexWake(w, n, 0) }`,
		gone: `func FutexWake(w *Word32, n int) int { return futexWake(w, n, futexFlagPrivate) }`,
		in:   "shm", test: `^TestFutexBetweenProcesses$`,
	},
	{
		name: "directory is private", file: "control/dir_linux.go",
		with: `	if mode == dirPrivate {
		return nil
	}
	if mode == dirGroup`,
		gone: `	if true {
		return nil
	}
	if mode == dirGroup`,
		in: "control", test: `^TestOpenBusDirRefuses$`,
	},
	{
		name: "directory is ours", file: "control/dir_linux.go",
		with: `if euid := os.Geteuid(); int(st.Uid) != euid {`,
		gone: `if euid := os.Geteuid(); int(st.Uid) != euid && o.Guest {`,
		in:   "control", test: `^TestOpenBusDirRefuses$|^TestAnotherUidIsKeptOut$|^TestGroupMode$`,
	},
	{
		name: "directory is no link", file: "control/dir_linux.go",
		with: `access|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC`,
		gone: `access|unix.O_DIRECTORY|unix.O_CLOEXEC`,
		in:   "control", test: `^TestOpenBusDirRefuses$`,
	},
	{
		name: "files are no links", file: "control/dir_linux.go",
		with: `unix.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK|create`,
		gone: `unix.O_RDWR|unix.O_CLOEXEC|unix.O_NONBLOCK|create`,
		in:   "control", test: `^TestLockFileMustBeAPlainFileOfOurs$`,
	},
	{
		name: "socket is private from its first moment", file: "control/socket_linux.go",
		with: `func(fd uintptr) { err = unix.Fchmod(int(fd), 0o600) }`,
		gone: `func(fd uintptr) {}`,
		in:   "control", test: `^TestAnotherUidIsKeptOut$`,
	},
	{
		name: "old listener leaves the new socket", file: "control/socket_linux.go",
		with: `	l := &Listener{ln: ln.(*net.UnixListener), name: name}
	l.ln.SetUnlinkOnClose(false)
`,
		gone: `	l := &Listener{ln: ln.(*net.UnixListener), name: name}
`,
		in: "control", test: `^TestStaleSocketIsReplaced$`,
	},
	{
		name: "host lock is of the file under its name", file: "control/hostlock_linux.go",
		with: `		if same && err == nil {
			return f, true, nil
		}`,
		gone: `		if err == nil {
			_ = same
			return f, true, nil
		}`,
		in: "control", test: `^TestLockOfAnUnlinkedFileDoesNotCount$|^TestUnlinkedLockFileMakesNoSecondHost$`,
	},
	{
		name: "host lock is kept", file: "control/hostlock_linux.go",
		with: `	if same || err != nil {
		return same, err
	}
	next, ok, err`,
		gone: `	if true {
		return true, err
	}
	next, ok, err`,
		in: "control", test: `^TestUnlinkedLockFileMakesNoSecondHost$|^TestHostStepsDownWhenBothLocksAreLost$`,
	},
	{
		name: "witness of the host lock", file: "control/hostlock_linux.go",
		with: `	if l.witness, ok, err = d.lockFile(MembersName, lockHostByte); !ok {`,
		gone: `	if l.witness, ok, err = d.lockFile(MembersName, func(*os.File) (bool, error) { return true, nil }); !ok {`,
		in:   "control", test: `^TestUnlinkedLockFileMakesNoSecondHost$`,
	},
	{
		name: "absent members prove nothing in a new file", file: "control/members_linux.go",
		with: `	if !known {
`,
		gone: `	if false {
`,
		in: "control", test: `^TestReplacedMembersFileKillsNobody$`,
	},
	{
		name: "version comes first", file: "control/envelope.go",
		with: `	if h.Version != ours {`,
		gone: `	if false {`,
		in:   "control", test: `^TestVersionMismatchNamesBothOnBothSides$`,
	},
	{
		name: "only offers carry descriptors", file: "control/host_session.go",
		with: `		if len(files) > 0 && head.Type != typeOffer {`,
		gone: `		if false {`,
		in:   "control", test: `^TestOnlyOffersCarryDescriptors$`,
	},
	{
		name: "descriptors that came short are closed and named", file: "control/conn_linux.go",
		with: `	case flags&unix.MSG_CTRUNC != 0 && len(files) < MaxFiles:`,
		gone: `	case false:`,
		in:   "control", test: `^TestOutOfDescriptorsIsNamedAndLeaksNone$`,
	},
	{
		name: "messages are bounded", file: "control/conn_linux.go",
		with: `	case flags&unix.MSG_TRUNC != 0:`,
		gone: `	case false:`,
		in:   "control", test: `^TestReceiveRefuses$`,
	},
	{
		name: "unknown connections are few", file: "control/host.go",
		with: `	case h.unknown >= h.config.MaxUnknown:`,
		gone: `	case false:`,
		in:   "control", test: `^TestSilentConnectionsAreFewAndEnd$`,
	},
	{
		name: "hello has a deadline", file: "control/host_session.go",
		with: `s.conn.Receive(time.Now().Add(h.config.Handshake))`,
		gone: `s.conn.Receive(time.Time{})`,
		in:   "control", test: `^TestSilentConnectionsAreFewAndEnd$`,
	},
	{
		name: "clients are limited", file: "control/host_session.go",
		with: `	if h.known >= h.config.MaxClients {`,
		gone: `	if false {`,
		in:   "control", test: `^TestClientsAreLimited$`,
	},
	{
		name: "member ids are locked", file: "control/host_session.go",
		with: `		if errors.Is(err, ErrMalformed) || err == nil && !alive {`,
		gone: `		if errors.Is(err, ErrMalformed) {`,
		in:   "control", test: `^TestHelloIsAskedForAndChecked$`,
	},
	{
		name: "guests do not publish", file: "control/host_grant.go",
		with: `	case s.guest:
		return nil, fmt.Errorf("%w: publish", ErrGuest)`,
		gone: `	case false:
		return nil, fmt.Errorf("%w: publish", ErrGuest)`,
		in: "control", test: `^TestGuestsAreLossySubscribersOnly$`,
	},
	{
		name: "end of a connection is no death", file: "control/host_death.go",
		with: `		case d.role == rolePublisher:
			d.state = holderAway
			waits = true`,
		gone: `		case d.role == rolePublisher:
			d.state = holderLeaving
			leaving = append(leaving, d)`,
		in: "control", test: `^TestLivingPublisherWithoutConnectionIsQuarantined$`,
	},
	{
		name: "pidfd alone is no death", file: "control/host_death.go",
		with: `	s.work.Wait()
	if s.peer == nil {
		return
	}
	if waits {`,
		gone: `	s.work.Wait()
	if s.peer == nil {
		return
	}
	if !waits {`,
		in: "control", test: `^TestKilledPublisherIsRepaired$`,
	},
	{
		name: "subscribers end with their connection", file: "control/host_death.go",
		with: `	for _, d := range leaving {
		if err := d.removeSlot()`,
		gone: `	for _, d := range leaving[:0] {
		if err := d.removeSlot()`,
		in: "control", test: `^TestKilledSubscriberHoldsNobodyUp$`,
	},
	{
		name: "the absent are judged by their lock", file: "control/host_death.go",
		with: `	if err == nil {
		return alive
	}
	if member == 0`,
		gone: `	if err == nil {
		return true
	}
	if member == 0`,
		in: "control", test: `^TestAbsentMemberIsJudgedByItsLock$`,
	},
	{
		name: "the living are not judged absent", file: "control/host_death.go",
		with: `	if err == nil {
		return alive
	}
	if member == 0`,
		gone: `	if err == nil {
		return false
	}
	if member == 0`,
		in: "control", test: `^TestLivingPublisherWithoutConnectionIsQuarantined$|^TestKilledHostIsReplaced$|^TestAbsentMemberIsJudgedByItsLock$|^TestStoppedHostIsNamed$`,
	},
	{
		name: "offers are of their member's slots", file: "control/adopt.go",
		with: `	case d == nil || d.member != s.member:`,
		gone: `	case d == nil:`,
		in:   "control", test: `^TestForeignSlotIsNotGiven$`,
	},
	{
		name: "corrupt topics are closed", file: "control/host_check.go",
		with: `	if t.corrupt == "" {
		return nil
	}
	return`,
		gone: `	if true {
		return nil
	}
	return`,
		in: "control", test: `^TestCorruptTopicIsQuarantined$`,
	},
	{
		name: "corrupt topics are condemned", file: "control/host_check.go",
		with: `	t.host.Condemn()
}`,
		gone: `}`,
		in:   "control", test: `^TestCorruptTopicIsQuarantined$`,
	},
	{
		name: "unrepairable topics are named", file: "control/host_grant.go",
		with: `		h.quarantine(d.topic, err)
`,
		gone: ``,
		in:   "control", test: `^TestUnrepairableTopicIsQuarantined$`,
	},
	{
		name: "requests short of descriptors cost nothing else", file: "control/conn.go",
		with: `		if !errors.Is(err, ErrNoDescriptors) {
			message = nil
		}`,
		gone: `		message = nil`,
		in:   "internal/hostile", test: `^TestDescriptorLimit$`,
	},
	{
		name: "mutex keeps its waiters", file: "ring/lock.go",
		with: `m.CompareAndSwap(0, e.identity|slept)`,
		gone: `m.CompareAndSwap(0, e.identity|slept&0)`,
		in:   "ring", test: `^TestSleepersAreNotForgotten$`,
	},
	{
		name: "bias before unlock", file: "ring/lock.go",
		with: `	if mayRebias && e.alone >= rebiasAfter && h.mutex.Load()&lockWaiters == 0 {
		// Before the mutex is released: after it, another might be inside.
		h.bias.Store(e.owned) // sync(bias): pairs with enterBiased
		e.alone = 0
	}
	e.unlock()`,
		gone: `	e.unlock()
	if mayRebias && e.alone >= rebiasAfter {
		h.bias.Store(e.owned) // sync(bias): pairs with enterBiased
		e.alone = 0
	}`,
		in: "ring", test: `^TestMutualExclusion$`,
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
		in:   "ring", test: `^TestMutualExclusion$`,
	},
	{
		name: "bias is read again when active", file: "ring/lock.go",
		with: `	if bias.Load() == e.owned { // sync(bias): pairs with revoke
		e.biased = true`,
		gone: `	if true { // sync(bias): pairs with revoke
		e.biased = true`,
		in: "ring", test: `^TestMutualExclusion$`,
	},
	{
		name: "REVOKING, not 0", file: "ring/lock.go",
		with: `		bias.Store(biasRevoking | uint64(x)) // sync(bias): pairs with enterBiased`,
		gone: `		bias.Store(0) // sync(bias): pairs with enterBiased`,
		in:   "ring", test: `^TestDeadRevoker$`,
	},
	{
		name: "revoker waits for the owner", file: "ring/lock.go",
		with: `spins := 0; active.Load() == identityGeneration(x); spins++`,
		gone: `spins := 0; active.Load() == identityGeneration(x) && spins < 0; spins++`,
		in:   "ring", test: `^TestMutualExclusion$`,
	},
	{
		name: "revoker's barrier", file: "ring/lock.go",
		with: `	if err := e.r.barrier(); err != nil {
		return err // bias`,
		gone: `	if err := error(nil); err != nil {
		return err // bias`,
		in: "ring", test: `^TestMutualExclusion$`,
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
		in: "internal/steps", test: `^TestEnumeratedDeath$`,
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
		with: `		e.r.log.claimed.Store(e.claimed) // sync(claimed): pairs with overrun
`,
		gone: ``,
		in:   "ring", test: `^TestModel$|^TestConformance`,
	},
	{
		name: "stored tail gates", file: "ring/space.go",
		with: `	if before(e.stored+fraction(e.r.capacity), end) {
		e.storeTail()
	}
`,
		gone: ``,
		in:   "ring", test: `^TestModel$|^TestConformance|^TestDeathAtEveryPoint$`,
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
		in: "ring", test: `^TestModel$`,
	},
	{
		name: "cursors gate", file: "ring/space.go",
		with: `earlier(cursor, pending)+e.r.capacity`,
		gone: `pending+e.r.capacity`,
		in:   "ring", test: `^TestModel$`,
	},
	{
		name: "impossible cursors are nobody's", file: "ring/space.go",
		with: `			if !within(c, e.tail-e.r.capacity, e.tail) {
				if evict`,
		gone: `			if false {
				if evict`,
		in: "internal/hostile", test: `^TestCursorPastTheEnd$`,
	},
	{
		name: "detached by generation", file: "ring/space.go",
		with: `	if generation != 0 && r.log.gateGenerations[n].CompareAndSwap(generation, 0) { // sync(gateGeneration): pairs with gated`,
		gone: `	if r.log.gateGenerations[n].Swap(0) != 0 { // sync(gateGeneration): pairs with gated`,
		in:   "ring", test: `^TestLateRepair$|^TestConformance`,
	},
	{
		name: "laggards are detached", file: "ring/space.go",
		with: `e.sequence-b.sequence.Load() > most`,
		gone: `false`,
		in:   "ring", test: `^TestConformance`,
	},
	{
		name: "sparse index", file: "ring/space.go",
		with: `		slot.Store(start) // sync(index): pairs with oldest
`,
		gone: ``,
		in:   "ring", test: `^TestModel$|^TestConformance`,
	},
	{
		name: "repair ends being inside", file: "ring/repair.go",
		with: `r.publisher(slot).active.CompareAndSwap(gen, 0)`,
		gone: `false`,
		in:   "ring", test: `^TestDeathAtEveryPoint$|^TestKill$`,
	},
	{
		name: "repair frees the mutex", file: "ring/repair.go",
		with: `		if word&identityBits != id {
			break`,
		gone: `		if true {
			break`,
		in: "ring", test: `^TestDeathAtEveryPoint$`,
	},
	{
		name: "repair by generation", file: "ring/repair.go",
		with: `	id := identityOf(slot, gen)
`,
		gone: `	id := r.log.mutex.Load()&identityBits&^0xff | uint32(slot+1)
`,
		in: "ring", test: `^TestLateRepair$`,
	},
	{
		name: "repair ends the bias", file: "ring/repair.go",
		with: `		r.log.bias.CompareAndSwap(b, 0)
`,
		gone: `		_ = b
`,
		in: "ring", test: `^TestDeathAtEveryPoint$|^TestRepairEndsTheBias$`,
	},
	{
		name: "claims of the dead are aborted", file: "ring/repair.go",
		with: `if w.state() == stateBusy && int(owner) == slot &&`,
		gone: `if false &&`,
		in:   "ring", test: `^TestDeathAtEveryPoint$|^TestKill$`,
	},
	{
		name: "claims of the living are left alone", file: "ring/repair.go",
		with: ` && int(owner) == slot &&`,
		gone: ` &&`,
		in:   "ring", test: `^TestModel$`,
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
		in: "control", test: `^TestUnrepairableTopicIsQuarantined$`,
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
		in:   "ring", test: `^TestHostDiesInside$`,
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
		in:   "ring", test: `^TestModel$|^TestKill$`,
	},
	{
		name: "orphaned claims do not commit", file: "ring/claim.go",
		with: `	if !c.rec.commit.CompareAndSwap(uint64(c.busy), uint64(c.busy.with(state))) {`,
		gone: `	c.rec.commit.Store(uint64(c.busy.with(state)))
	if false {`,
		in: "ring", test: `^TestModel$`,
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
		gone: `	return false`,
		in:   "ring", test: `^TestModel$|^TestConformance`,
	},
	{
		name: "lengths are checked", file: "ring/record.go",
		with: `	return e <= limit && offset+e <= capacity`,
		gone: `	return true`,
		in:   "ring", test: `^FuzzReader$`,
	},
	{
		name: "tags are compared", file: "ring/record.go",
		with: `{ return uint64(w)>>36 == position>>5&(1<<28-1) }`,
		gone: `{ return true }`,
		in:   "ring", test: `^FuzzReader$|^TestModel$`,
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
		in:   "ring", test: `^TestCondemned$`,
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
		in: "ring", test: `^TestModel$`,
	},
	{
		name: "header behind a PAD is zeroed", file: "ring/producer.go",
		with: `func (p *Producer) pad(position uint64) {
	p.r.at(position).commit.Set(0)
`,
		gone: `func (p *Producer) pad(position uint64) {
`,
		in: "ring", test: `^TestModel$|^TestPadZeroesFirst$`,
	},
	{
		name: "publishing wakes", file: "ring/producer.go",
		with: `	p.count(1, uint64(len(payload)))
	p.wake()
`,
		gone: `	p.count(1, uint64(len(payload)))
`,
		in: "ring", test: `^TestConformance`,
	},
	{
		name: "detached readers notice", file: "ring/consumer.go",
		with: `	if !c.gated() {
		return nil, Header{}, c.fail(ErrDetached)
	}
`,
		gone: ``,
		in:   "ring", test: `^TestConformance`,
	},
}
