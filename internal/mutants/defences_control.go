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
}
