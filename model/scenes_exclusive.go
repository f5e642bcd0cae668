package model

// Rings of one publisher, to which the host attaches without the lock.
var exclusiveScenes = []Scene{
	{
		Name: "exclusive: at the oldest", Quick: true, Units: 4, Fraction: 1, Block: 2, Unread: []int{1, 1}, Bias: 1, Exclusive: true,
		Publishers: publishers(singly(1, 1, 1, 1)), Subscribers: []Subscriber{{Absent: true}}, Attach: []Attach{{0, true}},
	},
	{
		Name: "exclusive: at the end", Units: 4, Fraction: 1, Block: 2, Bias: 1, Exclusive: true,
		Publishers: publishers(singly(1, 1, 1, 1, 1, 1)), Subscribers: []Subscriber{{Absent: true}}, Attach: []Attach{{0, false}},
	},
	{
		Name: "exclusive: fenced", Quick: true, Units: 4, Fraction: 1, Block: 2, Unread: []int{1, 1}, Bias: 1, Exclusive: true, Fenced: true,
		Publishers: publishers(singly(1, 1, 1)), Subscribers: []Subscriber{{Absent: true}}, Attach: []Attach{{0, true}},
	},
	{
		Name: "exclusive: store by store", Units: 4, Fraction: 1, Block: 2, Unread: []int{1, 1}, Bias: 1, Exclusive: true, StoreByStore: true, StepBarrier: true,
		Publishers: publishers(singly(1, 1, 1)), Subscribers: []Subscriber{{Absent: true}}, Attach: []Attach{{0, true}},
	},
	{
		Name: "exclusive: PAD, the host dies", Units: 8, Fraction: 2, Block: 2, Start: 13, Unread: []int{2, 1}, Bias: 1, Exclusive: true, HostKills: 1,
		Publishers: publishers(singly(2, 2, 1)), Subscribers: []Subscriber{{Absent: true}}, Attach: []Attach{{0, true}},
	},
	{
		Name: "exclusive: a second one, claims", Units: 4, Fraction: 1, Block: 2, Unread: []int{1}, Bias: 1, Exclusive: true,
		Publishers: publishers(claimsOrAborts(1, 1, 1)), Subscribers: []Subscriber{{}, {Absent: true}}, Attach: []Attach{{1, true}},
	},
	{
		Name: "exclusive: detached, attached again", Units: 4, Fraction: 1, Block: 2, Unread: []int{1}, Bias: 1, Exclusive: true,
		Publishers: publishers(singly(1, 1, 1)), Subscribers: reliable(1), Detach: []int{0}, Attach: []Attach{{0, true}},
	},
	{
		Name: "exclusive: lag, detached, attached again", Quick: true, Units: 4, Fraction: 1, Block: 2, Unread: []int{1}, Bias: 1, Exclusive: true,
		Publishers: publishers(singly(1, 1, 1)), Subscribers: []Subscriber{{MaxLag: 1}}, Detach: []int{0}, Attach: []Attach{{0, false}},
	},
	{
		Name: "exclusive: full, detached, attached again", Quick: true, Units: 4, Fraction: 1, Block: 2, Unread: []int{1, 1, 1}, Bias: 1, Exclusive: true,
		Publishers: publishers(singly(1, 1)), Subscribers: []Subscriber{{MaxLag: 8}}, Detach: []int{0}, Attach: []Attach{{0, false}},
	},
	{
		Name: "exclusive: park", Units: 4, Fraction: 1, Block: 2, Unread: []int{1}, Bias: 1, Exclusive: true, Park: true,
		Publishers: publishers(singly(1, 1, 1)), Subscribers: []Subscriber{{Absent: true}}, Attach: []Attach{{0, true}},
	},
	{
		Name: "exclusive: park, detached", Quick: true, Units: 4, Fraction: 1, Block: 2, Unread: []int{1}, Bias: 1, Exclusive: true, Park: true,
		Publishers: publishers(singly(1, 1, 1)), Subscribers: reliable(1), Detach: []int{0},
	},
	{
		Name: "exclusive: park, lag", Quick: true, Units: 4, Fraction: 1, Block: 2, Unread: []int{1}, Bias: 1, Exclusive: true, Park: true,
		Publishers: publishers(singly(1, 1, 1, 1)), Subscribers: []Subscriber{{MaxLag: 1}},
	},
	{
		Name: "exclusive: park, detached, the host dies", Units: 4, Fraction: 1, Block: 2, Unread: []int{1}, Bias: 1, Exclusive: true, Park: true, HostKills: 1,
		Publishers: publishers(singly(1, 1, 1)), Subscribers: reliable(1), Detach: []int{0}, Attach: []Attach{{0, true}},
	},
}

var exclusiveMutants = []Mutant{
	{Mutation: AnnounceWithoutBarrier, Name: "AnnounceWithoutBarrier", What: "exclusive: no membarrier between the epoch and the look at claimed", Scene: "exclusive: at the oldest"},
	{Mutation: AnnounceWithoutBarrier, Name: "AnnounceWithoutBarrier, fenced", What: "exclusive, fenced: no fence there", Scene: "exclusive: fenced"},
	{Mutation: AnnounceUnchecked, Name: "AnnounceUnchecked", What: "exclusive: the host does not look at claimed again", Scene: "exclusive: at the oldest"},
	{Mutation: NumberKept, Name: "NumberKept", What: "exclusive: another start goes by the same gate number", Scene: "exclusive: at the oldest"},
	{Mutation: EpochBeforeBit, Name: "EpochBeforeBit", What: "exclusive: the epoch changes before the gate bit is set", Scene: "exclusive: at the oldest"},
	{Mutation: NoLookBehindClaimed, Name: "NoLookBehindClaimed", What: "exclusive: a publisher does not look at the epoch behind claimed", Scene: "exclusive: at the oldest"},
	{Mutation: ClaimedWithoutFence, Name: "ClaimedWithoutFence", What: "exclusive, fenced: no fence between claimed and that look", Scene: "exclusive: fenced"},
	{Mutation: EpochNotBumped, Name: "EpochNotBumped, exclusive", What: "the gate epoch stays as it is", Scene: "exclusive: at the oldest"},
	{Mutation: KeepLimit, Name: "KeepLimit, exclusive", What: "a publisher keeps its limit when the epoch is new", Scene: "exclusive: at the oldest"},
	{Mutation: CursorAfterGate, Name: "CursorAfterGate, exclusive", What: "the cursor is stored after the gate bit", Scene: "exclusive: at the oldest"},
	{Mutation: NumberLast, Name: "NumberLast", What: "exclusive: a publisher reads a laggard's gate number behind how far it lags", Scene: "exclusive: lag, detached, attached again"},
	{Mutation: NumberLast, Name: "NumberLast, full", What: "exclusive: likewise where the ring is full", Scene: "exclusive: full, detached, attached again"},
	{Mutation: SleepWithoutBound, Name: "SleepWithoutBound", What: "exclusive: no wait ends by time", Scene: "exclusive: park, detached"},
}
