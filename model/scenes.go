package model

// Scripts of publishers, by the extents of their messages.

func singly(extents ...int) []Op {
	var ops []Op
	for _, e := range extents {
		ops = append(ops, Op{Publish, []int{e}})
	}
	return ops
}

func batch(extents ...int) []Op { return []Op{{Publish, extents}} }

func claims(extents ...int) []Op { return claiming(Claim, extents) }

func claimsOrAborts(extents ...int) []Op { return claiming(ClaimOrAbort, extents) }

func claiming(kind OpKind, extents []int) []Op {
	var ops []Op
	for _, e := range extents {
		ops = append(ops, Op{kind, []int{e}})
	}
	return ops
}

func publishers(scripts ...[]Op) [][]Op { return scripts }

func reliable(n int) []Subscriber { return make([]Subscriber, n) }

var lossy = []Subscriber{{Lossy: true}}

// Scenes are all scenes. Records are of at most a quarter of the ring, as they
// are in the real one. Quick ones are explored by every run of the tests.
var Scenes = append(append(append(append(append(lockScenes, recordScenes...), waitScenes...), lossyScenes...), hostScenes...), exclusiveScenes...)

// The lock alone: no subscriber, so nothing gates.
var lockScenes = []Scene{
	{
		Name: "lock: revoked while it enters", Quick: true, Units: 4, Fraction: 1, Block: 2, Bias: 1, Rebias: true, Kills: 1,
		Publishers: publishers(singly(1), singly(1)),
	},
	{
		Name: "lock: three, futex", Units: 8, Fraction: 1, Block: 2, Bias: 1, Rebias: true, Eager: true, Futex: true, Kills: 2,
		Publishers: publishers(singly(1, 2), singly(2, 1), singly(1, 1)),
	},
	{
		Name: "lock: three, stepwise membarrier", Units: 8, Fraction: 1, Block: 2, Bias: 1, Rebias: true, Futex: true, StepBarrier: true, Kills: 2, HostKills: 1,
		Publishers: publishers(singly(1, 1), singly(1), singly(1)),
	},
	{
		Name: "lock: slots granted again", Units: 8, Fraction: 2, Block: 2, Bias: 1, Rebias: true, Eager: true, Futex: true, Kills: 2, HostKills: 1, Regrants: 1,
		Publishers: publishers(singly(1, 2, 1), singly(1, 1, 2)),
	},
	{
		Name: "lock: two, slots granted again", Quick: true, Units: 4, Fraction: 1, Block: 2, Bias: 1, Rebias: true, Eager: true, Kills: 1, Regrants: 1,
		Publishers: publishers(singly(1, 1, 1), singly(1, 1)),
	},
	{
		Name: "lock: sleepers", Quick: true, Units: 4, Fraction: 1, Block: 2, Futex: true, Kills: 1,
		Publishers: publishers(singly(1), singly(1), singly(1)),
	},
	{
		Name: "lock: waits given up", Units: 4, Fraction: 1, Block: 2, Bias: 1, Rebias: true, Kills: 1, GiveUps: 2,
		Publishers: publishers(singly(1, 1), singly(1, 1), singly(1)),
	},
	{
		Name: "lock: fenced", Quick: true, Units: 4, Fraction: 1, Block: 2, Bias: 1, Rebias: true, Fenced: true, Kills: 1,
		Publishers: publishers(singly(1, 1), singly(1)),
	},
	{
		Name: "lock: fenced, three", Units: 8, Fraction: 1, Block: 2, Bias: 1, Rebias: true, Fenced: true, Futex: true, Kills: 2,
		Publishers: publishers(singly(1, 1), singly(1, 1), singly(1)),
	},
	{
		Name: "lock: one stopped for ever", Quick: true, Units: 4, Fraction: 1, Block: 2, Bias: 1, Rebias: true, Eager: true, Stops: 1,
		Publishers: publishers(singly(1, 1), singly(1), singly(1)),
	},
	{
		Name: "lock: one stopped for ever, one killed", Units: 4, Fraction: 1, Block: 2, Bias: 1, Rebias: true, Kills: 1, Stops: 1,
		Publishers: publishers(singly(1, 1), singly(1), singly(1)),
	},
}

// Records, space and repair, with reliable subscribers that wait without
// sleeping.
var recordScenes = []Scene{
	{
		Name: "records: two publishers, a lap", Quick: true, Units: 4, Fraction: 1, Block: 2, Unread: []int{1}, Bias: 1, Kills: 1,
		Publishers: publishers(singly(1, 1), singly(1)), Subscribers: reliable(1),
	},
	{
		Name: "records: three publishers, a lap", Units: 4, Fraction: 1, Block: 2, Unread: []int{1}, Bias: 1, Rebias: true, Kills: 2,
		Publishers: publishers(singly(1, 1), singly(1), singly(1)), Subscribers: reliable(1),
	},
	{
		Name: "records: PAD", Quick: true, Units: 8, Fraction: 2, Block: 2, Start: 13, Unread: []int{1, 1}, Bias: 1, Kills: 1,
		Publishers: publishers(singly(2), singly(1)), Subscribers: reliable(1),
	},
	{
		Name: "records: PAD, two kills", Units: 8, Fraction: 2, Block: 2, Start: 13, Unread: []int{1}, Bias: 1, Rebias: true, Kills: 2,
		Publishers: publishers(singly(2, 2), singly(2, 1)), Subscribers: reliable(1),
	},
	{
		Name: "records: late tail, nobody reads", Quick: true, Units: 4, Fraction: 3, Block: 2, Bias: 1, Kills: 1,
		Publishers: publishers(singly(1, 1, 1, 1), batch(1, 1)),
	},
	{
		Name: "records: late tail", Units: 4, Fraction: 3, Block: 2, Unread: []int{1}, Bias: 1, Rebias: true, Kills: 2,
		Publishers: publishers(singly(1, 1, 1), singly(1, 1, 1)), Subscribers: reliable(1),
	},
	{
		Name: "records: late tail, store by store", Units: 4, Fraction: 3, Block: 2, Unread: []int{1}, Bias: 1, Rebias: true, StoreByStore: true, Kills: 1,
		Publishers: publishers(singly(1, 1, 1), singly(1, 1)), Subscribers: reliable(1),
	},
	{
		Name: "records: two laps", Units: 4, Fraction: 1, Block: 2, Bias: 1, Rebias: true, Eager: true, Kills: 1,
		Publishers: publishers(singly(1, 1, 1, 1), singly(1, 1, 1)), Subscribers: reliable(1),
	},
	{
		Name: "records: batches", Units: 8, Fraction: 2, Block: 2, Unread: []int{2, 2}, Bias: 1, Rebias: true, Kills: 1,
		Publishers: publishers(batch(1, 2, 1), batch(2, 1)), Subscribers: reliable(1),
	},
	{
		Name: "records: claims", Quick: true, Units: 4, Fraction: 1, Block: 2, Unread: []int{1}, Bias: 1, Kills: 1,
		Publishers: publishers(claimsOrAborts(1), singly(1)), Subscribers: reliable(1),
	},
	{
		Name: "records: claims, a lap", Units: 4, Fraction: 1, Block: 2, Unread: []int{1}, Bias: 1, Rebias: true, Kills: 2,
		Publishers: publishers(claimsOrAborts(1, 1), claimsOrAborts(1, 1)), Subscribers: reliable(1),
	},
	{
		Name: "records: claims of two units", Units: 8, Fraction: 2, Block: 2, Unread: []int{2}, Bias: 1, Rebias: true, Kills: 1, HostKills: 1,
		Publishers: publishers(claims(2, 2), singly(2, 1)), Subscribers: reliable(1),
	},
	{
		Name: "records: claims, slots granted again", Units: 4, Fraction: 1, Block: 2, Bias: 1, Rebias: true, Kills: 1, HostKills: 1, Regrants: 1,
		Publishers: publishers(claimsOrAborts(1, 1), claims(1, 1)), Subscribers: reliable(1),
	},
	{
		Name: "records: claims, nobody reads", Quick: true, Units: 4, Fraction: 1, Block: 2, Bias: 1, Rebias: true, Kills: 1,
		Publishers: publishers(claims(1), singly(1, 1, 1, 1)),
	},
	{
		Name: "records: claims, repair beside a lap", Quick: true, Units: 4, Fraction: 1, Block: 2, Bias: 1, Kills: 1,
		Publishers: publishers(claims(1, 1), singly(1, 1, 1)),
	},
	{
		Name: "records: claims of two, repair beside a lap", Units: 4, Fraction: 1, Block: 2, Bias: 2, Kills: 1, HostKills: 1,
		Publishers: publishers(claims(1), singly(1, 1, 1, 1), claims(1)),
	},
	{
		Name: "records: store by store", Units: 8, Fraction: 1, Block: 2, Start: 14, Unread: []int{1}, Bias: 1, Rebias: true, StoreByStore: true, Kills: 1,
		Publishers: publishers(singly(2, 1), claims(2)), Subscribers: reliable(1),
	},
	{
		Name: "records: one stopped for ever", Units: 4, Fraction: 1, Block: 2, Unread: []int{1}, Bias: 1, Rebias: true, Stops: 1, StopSubscribers: true,
		Publishers: publishers(claimsOrAborts(1, 1), singly(1, 1)), Subscribers: reliable(2),
	},
}

// Sleeping and waking.
var waitScenes = []Scene{
	{
		Name: "wait: one sleeper", Quick: true, Units: 8, Fraction: 1, Block: 2, Bias: 1, Park: true, Kills: 1,
		Publishers: publishers(singly(1, 1)), Subscribers: reliable(1),
	},
	{
		Name: "wait: one sleeper, two publishers", Units: 8, Fraction: 1, Block: 2, Bias: 1, Rebias: true, Park: true, Kills: 1,
		Publishers: publishers(singly(1, 1), singly(1)), Subscribers: reliable(1),
	},
	{
		Name: "wait: two sleepers", Units: 8, Fraction: 1, Block: 2, Bias: 1, Park: true,
		Publishers: publishers(singly(1, 1), singly(1)), Subscribers: reliable(2),
	},
	{
		Name: "wait: space", Quick: true, Units: 4, Fraction: 3, Block: 2, Unread: []int{1, 1}, Bias: 1, Park: true, Ends: true,
		Publishers: publishers(singly(1, 1, 1)), Subscribers: reliable(1),
	},
	{
		Name: "wait: space, one by one", Quick: true, Units: 4, Fraction: 1, Block: 2, Unread: []int{1, 1, 1}, Bias: 1, Park: true, Ends: true,
		Publishers: publishers(singly(1, 1, 1)), Subscribers: reliable(1),
	},
	{
		Name: "wait: a batch larger than the ring", Quick: true, Units: 4, Fraction: 1, Block: 2, Bias: 1, Park: true, Ends: true,
		Publishers: publishers(batch(1, 1, 1, 1, 1)), Subscribers: reliable(1),
	},
	{
		Name: "wait: space, two publishers", Units: 4, Fraction: 1, Block: 2, Unread: []int{1, 1}, Bias: 1, Rebias: true, Eager: true, Park: true, Kills: 1,
		Publishers: publishers(singly(1, 1), singly(1)), Subscribers: reliable(1),
	},
	{
		Name: "wait: space, PAD", Units: 8, Fraction: 1, Block: 2, Start: 10, Unread: []int{2, 2, 1}, Bias: 1, Rebias: true, Park: true, Kills: 1,
		Publishers: publishers(singly(2, 1), singly(2)), Subscribers: reliable(1),
	},
	{
		Name: "wait: space, two subscribers", Units: 4, Fraction: 1, Block: 2, Unread: []int{1, 1}, Bias: 1, Park: true,
		Publishers: publishers(singly(1, 1)), Subscribers: reliable(2),
	},
	{
		Name: "wait: batches", Units: 4, Fraction: 1, Block: 2, Unread: []int{1}, Bias: 1, Park: true, Ends: true,
		Publishers: publishers(batch(1, 1, 1), singly(1)), Subscribers: reliable(1),
	},
	{
		Name: "wait: batches, a kill", Units: 4, Fraction: 1, Block: 2, Unread: []int{1}, Bias: 1, Rebias: true, Park: true, Kills: 1,
		Publishers: publishers(batch(1, 1, 1), batch(1, 1)), Subscribers: reliable(1),
	},
	{
		Name: "wait: claims", Quick: true, Units: 4, Fraction: 1, Block: 2, Bias: 1, Park: true, Kills: 1,
		Publishers: publishers(claimsOrAborts(1, 1)), Subscribers: reliable(1),
	},
	{
		Name: "wait: claims of two", Units: 4, Fraction: 1, Block: 2, Park: true, Kills: 2,
		Publishers: publishers(claimsOrAborts(1), claimsOrAborts(1)), Subscribers: reliable(1),
	},
	{
		Name: "wait: claims, a subscriber dies", Units: 4, Fraction: 1, Block: 2, Unread: []int{1}, Bias: 1, Rebias: true, Park: true, Futex: true, Kills: 2, KillSubscribers: true,
		Publishers: publishers(claimsOrAborts(1), claims(1)), Subscribers: reliable(1),
	},
	{
		Name: "wait: for a claim to end", Quick: true, Units: 4, Fraction: 1, Block: 2, Bias: 2, Park: true, Kills: 1,
		Publishers: publishers(claimsOrAborts(1), singly(1, 1, 1, 1)),
	},
	{
		Name: "wait: for two claims to end", Units: 4, Fraction: 1, Block: 2, Bias: 3, Park: true, Kills: 1,
		Publishers: publishers(claimsOrAborts(1), claims(1), singly(1, 1, 1)),
	},
	{
		Name: "wait: fenced", Quick: true, Units: 4, Fraction: 1, Block: 2, Unread: []int{1, 1}, Bias: 1, Rebias: true, Park: true, Fenced: true,
		Publishers: publishers(singly(1, 1), singly(1)), Subscribers: reliable(1),
	},
	{
		Name: "wait: fenced, a kill", Units: 4, Fraction: 1, Block: 2, Unread: []int{1, 1}, Bias: 1, Rebias: true, Park: true, Fenced: true, Kills: 1,
		Publishers: publishers(singly(1), claims(1)), Subscribers: reliable(1),
	},
	{
		Name: "wait: everything, no kill", Units: 4, Fraction: 1, Block: 2, Bias: 1, Rebias: true, Park: true, Futex: true,
		Publishers: publishers(singly(1, 1, 1), singly(1, 1)), Subscribers: reliable(1),
	},
	{
		Name: "wait: stepwise membarrier", Units: 4, Fraction: 1, Block: 2, Unread: []int{1}, Bias: 1, Rebias: true, Park: true, StepBarrier: true,
		Publishers: publishers(singly(1, 1), singly(1)), Subscribers: reliable(1),
	},
	{
		Name: "wait: the host dies too", Quick: true, Units: 4, Fraction: 1, Block: 2, Bias: 1, Park: true, Kills: 1, HostKills: 1,
		Publishers: publishers(singly(1)), Subscribers: reliable(1),
	},
	{
		Name: "wait: the host dies", Units: 4, Fraction: 1, Block: 2, Unread: []int{1}, Bias: 1, Rebias: true, Park: true, Kills: 1, HostKills: 1,
		Publishers: publishers(claims(1), singly(1)), Subscribers: reliable(1),
	},
}

var lossyScenes = []Scene{
	{
		Name: "lossy: overrun", Quick: true, Units: 4, Fraction: 1, Block: 2, Unread: []int{1, 1}, Bias: 1, Kills: 1,
		Publishers: publishers(singly(1, 1, 1), singly(1)), Subscribers: lossy,
	},
	{
		Name: "lossy: store by store", Units: 4, Fraction: 1, Block: 2, Bias: 1, Rebias: true, StoreByStore: true, Kills: 2,
		Publishers: publishers(singly(1, 1, 1), singly(1, 1)), Subscribers: lossy,
	},
	{
		Name: "lossy: payloads, rounded claimed", Units: 8, Fraction: 2, Block: 2, Start: 13, Unread: []int{2, 2}, Bias: 1, Rebias: true, Eager: true, Kills: 1,
		Publishers: publishers(singly(2, 1, 2), singly(2, 1)), Subscribers: lossy,
	},
	{
		Name: "lossy: payloads, store by store", Units: 8, Fraction: 2, Block: 2, Unread: []int{2, 1, 2}, Bias: 1, StoreByStore: true, Kills: 1,
		Publishers: publishers(singly(2, 2), singly(1)), Subscribers: lossy,
	},
	{
		Name: "lossy: resync through the index", Units: 8, Fraction: 1, Block: 2, Start: 14, Unread: []int{1, 1, 1, 1}, Bias: 1, Kills: 1,
		Publishers: publishers(singly(2, 2), singly(1, 2)), Subscribers: lossy,
	},
	{
		Name: "lossy: batches", Units: 8, Fraction: 2, Block: 4, Unread: []int{2, 2}, Bias: 1, Rebias: true, Kills: 2,
		Publishers: publishers(batch(2, 1, 2), batch(1, 1)), Subscribers: lossy,
	},
	{
		Name: "lossy: a shorter record behind the dead", Quick: true, Units: 8, Fraction: 1, Block: 2, Unread: []int{2, 2, 2}, Bias: 1, Kills: 1,
		Publishers: publishers(singly(2), singly(1)), Subscribers: lossy,
	},
	{
		Name: "lossy: claims", Units: 4, Fraction: 1, Block: 2, Unread: []int{1}, Bias: 1, Rebias: true, Kills: 1,
		Publishers: publishers(claimsOrAborts(1, 1), singly(1, 1)), Subscribers: lossy,
	},
	{
		Name: "lossy: beside a reliable one", Units: 4, Fraction: 1, Block: 2, Unread: []int{1}, Bias: 1, Kills: 1, StoreByStore: true,
		Publishers: publishers(singly(1, 1), singly(1)), Subscribers: []Subscriber{{}, {Lossy: true}},
	},
	{
		Name: "lossy: park", Quick: true, Units: 4, Fraction: 1, Block: 2, Unread: []int{1, 1}, Bias: 1, Park: true,
		Publishers: publishers(singly(1, 1, 1), singly(1)), Subscribers: lossy,
	},
	{
		Name: "lossy: fenced, park", Units: 4, Fraction: 1, Block: 2, Unread: []int{1}, Bias: 1, Rebias: true, Park: true, Fenced: true, Kills: 1,
		Publishers: publishers(singly(1, 1), singly(1)), Subscribers: lossy,
	},
	{
		Name: "lossy: comes to an end", Quick: true, Units: 8, Fraction: 4, Block: 2, Unread: []int{1, 1}, Ends: true,
		Publishers: publishers(singly(1, 1, 1, 1, 1, 1, 1)), Subscribers: lossy,
	},
	{
		Name: "lossy: one biased publisher", Quick: true, Units: 8, Fraction: 4, Block: 2, Unread: []int{1, 1}, Bias: 1, Ends: true,
		Publishers: publishers(singly(1, 1, 1, 1, 1, 1, 1, 1)), Subscribers: lossy,
	},
	{
		Name: "lossy: index entry of a dead one", Quick: true, Units: 8, Fraction: 4, Block: 4, Unread: []int{2, 2}, Bias: 1, Kills: 1, Killable: 1,
		Publishers: publishers(singly(2), singly(1, 2, 1)), Subscribers: lossy,
	},
	{
		Name: "lossy: PAD of a dead one", Quick: true, Units: 8, Fraction: 4, Block: 8, Unread: []int{2, 2, 2, 1}, Bias: 1, Kills: 1,
		Publishers: publishers(singly(2), singly(1)), Subscribers: lossy,
	},
}

// Attaching and detaching.
var hostScenes = []Scene{
	{
		Name: "attach: at the end", Units: 4, Fraction: 1, Block: 2, Bias: 1, Rebias: true,
		Publishers: publishers(singly(1, 1, 1, 1, 1), singly(1)), Subscribers: []Subscriber{{Absent: true}}, Attach: []Attach{{0, false}},
	},
	{
		Name: "attach: at the oldest", Quick: true, Units: 4, Fraction: 1, Block: 2, Unread: []int{1, 1}, Bias: 1, Rebias: true,
		Publishers: publishers(singly(1, 1, 1), singly(1)), Subscribers: []Subscriber{{Absent: true}}, Attach: []Attach{{0, true}},
	},
	{
		Name: "attach: kills", Units: 8, Fraction: 2, Block: 2, Start: 13, Unread: []int{2, 1}, Bias: 1, Rebias: true, Kills: 1, HostKills: 1,
		Publishers: publishers(singly(2, 2), singly(1)), Subscribers: []Subscriber{{Absent: true}}, Attach: []Attach{{0, true}},
	},
	{
		Name: "attach: store by store", Units: 4, Fraction: 1, Block: 2, Unread: []int{1, 1}, Bias: 1, StoreByStore: true, StepBarrier: true, HostKills: 1,
		Publishers: publishers(singly(1, 1, 1)), Subscribers: []Subscriber{{Absent: true}}, Attach: []Attach{{0, true}},
	},
	{
		Name: "attach: a second one, claims", Units: 4, Fraction: 1, Block: 2, Unread: []int{1}, Bias: 1, Rebias: true,
		Publishers: publishers(claimsOrAborts(1, 1), singly(1, 1)), Subscribers: []Subscriber{{}, {Absent: true}}, Attach: []Attach{{1, true}},
	},
	{
		Name: "attach: again in the slot of a dead one", Units: 4, Fraction: 1, Block: 2, Unread: []int{1}, Bias: 1, Kills: 1, KillSubscribers: true, Killable: 4,
		Publishers: publishers(singly(1, 1, 1), singly(1)), Subscribers: reliable(1), Attach: []Attach{{0, true}},
	},
	{
		Name: "attach: park, futex", Units: 4, Fraction: 1, Block: 2, Unread: []int{1}, Bias: 1, Rebias: true, Park: true, Futex: true, HostKills: 1,
		Publishers: publishers(singly(1, 1), singly(1)), Subscribers: []Subscriber{{Absent: true}}, Attach: []Attach{{0, true}},
	},
	{
		Name: "attach: lossy", Units: 4, Fraction: 1, Block: 2, Unread: []int{1, 1}, Bias: 1, Rebias: true, Kills: 1,
		Publishers: publishers(singly(1, 1), singly(1, 1)), Subscribers: []Subscriber{{Lossy: true, Absent: true}}, Attach: []Attach{{0, true}},
	},
	{
		Name: "detach: while it reads", Quick: true, Units: 8, Fraction: 2, Block: 2, Unread: []int{2, 2}, Bias: 1,
		Publishers: publishers(singly(2, 2, 2)), Subscribers: reliable(1), Detach: []int{0},
	},
	{
		Name: "detach: one of two, kills", Units: 4, Fraction: 1, Block: 2, Unread: []int{1, 1}, Bias: 1, Rebias: true, Kills: 1,
		Publishers: publishers(singly(1, 1), singly(1)), Subscribers: reliable(2), Detach: []int{0},
	},
	{
		Name: "detach: attached again", Units: 8, Fraction: 2, Block: 2, Unread: []int{2, 2}, Bias: 1, Rebias: true, HostKills: 1,
		Publishers: publishers(singly(2, 2), singly(1)), Subscribers: reliable(1), Detach: []int{0}, Attach: []Attach{{0, true}},
	},
	{
		Name: "detach: while it sleeps", Quick: true, Units: 4, Fraction: 1, Block: 2, Unread: []int{1}, Bias: 1, Park: true, HostKills: 1,
		Publishers: publishers(singly(1, 1, 1)), Subscribers: reliable(1), Detach: []int{0},
	},
	{
		Name: "lag: detached by a publisher", Quick: true, Units: 8, Fraction: 2, Block: 2, Unread: []int{2, 2}, Bias: 1,
		Publishers: publishers(singly(2, 2, 2)), Subscribers: []Subscriber{{MaxLag: 2}},
	},
	{
		Name: "lag: detached by one of two publishers", Units: 8, Fraction: 2, Block: 2, Unread: []int{2, 2}, Bias: 1, Rebias: true, Kills: 1,
		Publishers: publishers(singly(2, 2), singly(2)), Subscribers: []Subscriber{{MaxLag: 2}},
	},
	{
		Name: "lag: one of two, park", Units: 4, Fraction: 1, Block: 2, Unread: []int{1, 1}, Bias: 1, Park: true,
		Publishers: publishers(singly(1, 1), singly(1)), Subscribers: []Subscriber{{MaxLag: 2}, {}},
	},
	{
		Name: "lag: beside claims", Units: 4, Fraction: 1, Block: 2, Unread: []int{1}, Bias: 1, Park: true, Kills: 1,
		Publishers: publishers(claims(1), singly(1, 1, 1)), Subscribers: []Subscriber{{MaxLag: 1}},
	},
}
