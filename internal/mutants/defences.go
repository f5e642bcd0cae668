package main

import "slices"

// defences are what must not be missing.
var defences = slices.Concat(defencesBelow, defencesOfRing, defencesOfGrants, defencesOfTurns, defencesOfRecords, defencesOfShort, defencesOfHandles, defencesOfControl, defencesOfHosting)

// defencesBelow are those of memory and control.
var defencesBelow = []defence{
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
		in:   "ring", test: `^TestMutualExclusion$`, race: true,
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
		gone: `	if same || name != "" {
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
		with: `		if len(files) > 0 && (head.Type != typeOffer || s.stranger) {`,
		gone: `		if false {`,
		in:   "control", test: `^TestOnlyOffersCarryDescriptors$`,
	},
	{
		name: "descriptors that came short are closed and named", file: "control/conn_linux.go",
		with: `	case flags&unix.MSG_CTRUNC != 0 && len(files) <= MaxFiles:`,
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
		name: "unknown connections are few", file: "control/host_accept.go",
		with: `	case crowd.unknown >= most:`,
		gone: `	case crowd.unknown >= 1000*most:`,
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
		with: `	if crowd.known >= limit {`,
		gone: `	if false {`,
		in:   "control", test: `^TestClientsAreLimited$`,
	},
	{
		name: "member ids are locked", file: "control/host_session.go",
		with: `		if errors.Is(err, ErrMalformed) || err == nil && !alive {`,
		gone: `		if errors.Is(err, ErrMalformed) || err == nil && !alive && false {`,
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
			s.behind++`,
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
		in: "control", test: `^TestLivingSubscriberWithoutConnectionHoldsNobodyUp$`,
	},
	{
		name: "the absent are judged by their lock", file: "control/host_death.go",
		with: `	if err == nil {
		return alive
	}
	if member == 0`,
		gone: `	if err == nil {
		return alive || member != 0
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
		return alive && false
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
		name: "memory is private to its uid", file: "shm/region_linux.go",
		with: `unix.Fchmod(fd, regionMode) }`,
		gone: `unix.Fchmod(fd, regionMode|0o066) }`,
		in:   "shm", test: `^TestCreate`,
	},
	{
		name: "size is read behind the seals", file: "shm/region_linux.go",
		with: `size != wantSize || size != r.size {`,
		gone: `size != wantSize {`,
		in:   "shm", test: `^TestCheck`,
	},
	{
		name: "who listens is the owner", file: "control/socket.go",
		with: `	if err == nil && uid != d.owner && uid != 0 {`,
		gone: `	if false {`,
		in:   "control", test: `^TestHostOfAnotherUidIsRefused$`,
	},
	{
		name: "who connects is the owner, or a guest", file: "control/host_session.go",
		with: `	if owner := h.dir.Owner(); s.peer.UID != owner {`,
		gone: `	if owner := h.dir.Owner(); s.peer.UID != owner && owner < 0 {`,
		in:   "control", test: `^TestGuestsAreLossySubscribersOnly$|^TestAnotherUidIsKeptOut$`,
	},
	{
		name: "names are checked", file: "control/message.go",
		with: `		if err := ValidName(kind, name); err != nil {`,
		gone: `		if err := ValidName(kind, name); false {`,
		in:   "control", test: `^TestNamesInMessages$`,
	},
	{
		name: "topics are made of names", file: "control/message.go",
		with: `	return ValidName("topic", topic)
`,
		gone: `	return nil
`,
		in: "control", test: `^TestNamesInMessages$`,
	},
	{
		name: "guests wait for nobody", file: "control/host_subscribe.go",
		with: `	case s.guest && mode != ring.Lossy:`,
		gone: `	case false:`,
		in:   "control", test: `^TestGuestsAreLossySubscribersOnly$`,
	},
	{
		name: "observers do not subscribe", file: "control/host_subscribe.go",
		with: `	case s.observer:`,
		gone: `	case false:`,
		in:   "control", test: `^TestObserversReadAndNothingElse$`,
	},
	{
		name: "others get read-only descriptors", file: "control/topic.go",
		with: `	p.ro, err = p.rw.Reopen(false)`,
		gone: `	p.ro, err = p.rw.Reopen(true)`,
		in:   "internal/hostile", test: `^TestReadOnlyMapping$`,
	},
	{
		name: "topics have room in memory", file: "control/memory.go",
		with: `				if free < least {`,
		gone: `				if false {`,
		in:   "control", test: `^TestAvailableMemory$`,
	},
	{
		name: "slots whose grant was lost are free at once", file: "control/adopt.go",
		with: `	leaving := h.makeLeaving(func(d *holder) bool { return d.topic == t && d.state == holderAway && h.disowned(d) })`,
		gone: `	leaving := h.makeLeaving(func(d *holder) bool { return false })`,
		in:   "control", test: `^TestNameOfALostGrantIsFree$`,
	},
}
