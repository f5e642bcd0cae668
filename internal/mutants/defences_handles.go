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
		in:   "bus", test: `^TestOrphanedClaimIsOver$`,
	},
	{
		name: "copies of a claim are told from others", file: "bus/claim.go",
		with: `	case !p.ended(c.Sequence()): // a copy`,
		gone: `	case !p.ended(c.Sequence()) && len(p.claims) == 0: // a copy`,
		in:   "bus", test: `^TestCopiesOfAClaim$`,
	},
	{
		name: "orphaned claims are over", file: "ring/claim.go",
		with: `		c.p = nil
		return ErrOrphaned`,
		gone: `		return ErrOrphaned`,
		in:   "ring", test: `^TestLateRepair$`,
	},
}
