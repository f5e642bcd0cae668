package main

// What decides whether a slot is freed is not what its block says.
var defencesOfGrants = []defence{
	{
		name: "slots are freed by the host's notes", file: "ring/grants.go",
		with: `	if ok {
		return noted == generation`,
		gone: `	if ok && noted == 0 {
		return noted == generation`,
		in: "ring", test: `^TestScribbledGeneration`,
	},
	{
		name: "a guest that another host let in is freed", file: "ring/grants.go",
		with: `s.kind == guestSeat || block() == generation`,
		gone: `block() == generation`,
		in:   "ring", test: `^TestGuestCannotKeepItsSlot$`,
	},
	{
		name: "one takes a slot back at a time", file: "ring/host.go",
		with: `	h.grants.mu.Lock()
	defer h.grants.mu.Unlock()
	granted := h.r.grantedSubscribers(guest)`,
		gone: `	granted := h.r.grantedSubscribers(guest)`,
		in:   "ring", test: `^TestRemoveTwiceAtOnce$`,
	},
	{
		name: "guests' header decides nothing", file: "ring/format.go",
		with: `	return shm.Overlay[cursorHeader](b, 0), nil`,
		gone: `	if h := shm.Overlay[cursorHeader](b, 0); h.magic.Load() != guestMagic {
		return nil, ErrNotRing
	}
	return shm.Overlay[cursorHeader](b, 0), nil`,
		in: "ring", test: `^TestGuestsCannotKeepOthersOut$`,
	},
	{
		name: "names are of those that are given", file: "ring/stat.go",
		with: `!alnum && c != '.' && c != '_' && c != '-'`,
		gone: `!alnum && c == 0x7f`,
		in:   "ring", test: `^TestNamesThatWereNeverGiven$`,
	},
}
