package main

// defencesOfHosting are those of a host: what it brings back, what it lets in, and
// that it goes on.
var defencesOfHosting = []defence{
	{
		name: "what comes back raises a guessed limit", file: "control/host_memory.go",
		with: `	if h.guessed {`,
		gone: `	if false {`,
		in:   "control", test: `^TestWhatComesBackRaisesAGuessedLimit$`,
	},
	{
		name: "what comes back leaves room for slots", file: "control/host_memory.go",
		with: `		used -= min(used, uint64(min(t.adopted, t.bytes)))`,
		gone: `		used -= min(used, uint64(min(t.adopted, t.bytes)))*0`,
		in:   "control", test: `^TestTakeoverHasMemoryForSlots$`,
	},
	{
		name: "store keeps what cannot be used now", file: "control/fdstore.go",
		with: `	case errors.As(err, &kernel):
		return false`,
		gone: `	case errors.As(err, &kernel):
		return true`,
		in: "control", test: `^TestStoreKeepsWhatThereIsNoRoomFor$`,
	},
	{
		name: "failed adoption leaves the store alone", file: "control/adopt.go",
		with: `		t.stored = false //`,
		gone: `		//`,
		in:   "control", test: `^TestStoreKeepsWhatThereIsNoRoomFor$`,
	},
	{
		name: "removed socket is made again", file: "control/host_death.go",
		with: `			h.keepSocket()
`,
		gone: ``,
		in:   "control", test: `^TestRemovedSocketIsMadeAgain$`,
	},
	{
		name: "removed directory is said", file: "control/election.go",
		with: `				c.failCalls(err)
`,
		gone: ``,
		in:   "control", test: `^TestRemovedDirectoryIsSaid$`,
	},
	{
		name: "stored topics come back last", file: "control/host.go",
		with: `	if (complete || h.waited >= h.config.Settle+makePatience) && h.bringBack() {`,
		gone: `	if h.bringBack() {`,
		in:   "control", test: `^TestNewcomersWaitForTheLivingRing$`,
	},
	{
		name: "unused stored topics give way", file: "control/adopt.go",
		with: `errors.Is(err, ErrOrphaned) && h.giveWay(t)`,
		gone: `false`,
		in:   "control", test: `^TestUnusedStoredTopicGivesWay$`,
	},
	{
		name: "used stored topics stay", file: "control/slot.go",
		with: `		t.unused = false
`,
		gone: ``,
		in:   "control", test: `^TestUnusedStoredTopicGivesWay$`,
	},
	{
		name: "offers without room fail alone", file: "control/host_session.go",
		with: `		if raw != nil && errors.Is(err, ErrNoDescriptors) {`,
		gone: `		if false {`,
		in:   "control", test: `^TestOfferWithoutRoomFailsAlone$`,
	},
	{
		name: "offers are repeated", file: "control/election.go",
		with: `		c.repeatOffer(l, g, err)
`,
		gone: ``,
		in:   "control", test: `^TestOffersAreRepeated$`,
	},
	{
		name: "nobody is kept out by a flock", file: "control/dir_linux.go",
		with: `		case time.Now().After(deadline):
			return nil`,
		gone: `		case time.Now().After(deadline):
			return ErrPermission`,
		in: "control", test: `^TestBusDirIsKeptFromCleaners$`,
	},
	{
		name: "guests take no place of the owner", file: "control/host_accept.go",
		with: `	if s.stranger {`,
		gone: `	if false {`,
		in:   "control", test: `^TestGuestsTakeNoPlaceOfTheOwner$`,
	},
	{
		name: "guests take no names of subscribers", file: "control/slot.go",
		with: `	taken, _ := t.table(role)
	for _, d := range taken {
		if d.name == name &&`,
		gone: `	taken, _ := t.table(role)
	if role == roleSubscriber {
		taken, _ = t.table(roleGuest)
	}
	for _, d := range taken {
		if d.name == name &&`,
		in: "control", test: `^TestGuestsAreLossySubscribersOnly$`,
	},
	{
		name: "strangers' descriptors are closed aside", file: "control/closers.go",
		with: `		c.close(func() { f.Close() })`,
		gone: `		f.Close()`,
		in:   "control", test: `^TestNobodyWaitsForAStrangersDescriptors$`,
	},
	{
		name: "strangers' connections are closed aside", file: "control/host_accept.go",
		with: `		h.foreign.close(func() { conn.Close() })`,
		gone: `		conn.Close()`,
		in:   "control", test: `^TestNobodyWaitsForAStrangersDescriptors$`,
	},
	{
		name: "kernel refuses descriptors of strangers", file: "control/socket.go",
		with: `err == nil && d.group != nil {`,
		gone: `err == nil && false {`,
		in:   "control", test: `^TestNobodyWaitsForAStrangersDescriptors$`,
	},
	{
		name: "requests of guests are few", file: "control/host_session.go",
		with: `		most = guestRequests
`,
		gone: `		most = maxRequests
`,
		in: "control", test: `^TestRequestsOfGuestsAreFew$`,
	},
}
