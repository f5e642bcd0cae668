package model

// Mutation is one mistake put into the protocol. Each takes away or reorders
// one thing that docs say is needed.
type Mutation uint8

// None is the protocol as it is. The rest are listed in [Mutations].
const (
	None Mutation = iota

	NoRevoking
	RevokeWithoutBarrier
	RevokeWithoutWait
	BiasBeforeActive
	RebiasAfterRelease

	HostLeavesActive
	HostLeavesMutex
	HostLeavesBias
	HostLeavesRevoking
	HostBiasBlind
	RegrantEarlyBlind
	HostMutexExact
	HostWakesOwnersWaitersOnly
	HostWakesMutexOnly
	HostWakesWithoutBump
	WakeBeforeRepair
	WalkWithoutPending
	HostWalksToTail

	NoRoomForNextHeader
	NoZeroBehindPad
	NoZeroNext
	NoZeroNextUnderClaim
	ZeroAfterCommit
	CommitBeforeFields
	TailBeforeCommit
	NoCatchUp
	TailBeforeSequence
	SequenceFromWord
	PadCounts
	CatchUpWithoutStore
	StoredTailNoGate
	NoPending
	KeepPrivateTail

	SleepWithoutBarrier
	SpaceWithoutBarrier
	BellAfterRecheck
	ParkWithLazyCursor
	ForgetWaiters
	AbortWithoutWake

	ClaimedFalls
	ClaimedAfterRecord
	ZeroMeansEmpty

	// New mechanisms.
	SleepCountedBeforeBell
	SeenAfterRing
	SpaceSeenAfterRing
	WakeWithoutBump
	WakeBeforeBump
	SpaceBellsLate
	ClaimEndsWithoutSpaceWake
	BusyEndAfterBusy
	FieldsAfterBusy
	RegrantBeforeWalk
	ClaimedWithoutNextHeader
	ClaimedNotRounded
	ClaimedRoundedDown
	IndexBeyond
	ResyncWithoutFloor
	ResyncBeyondTail
	PartialBatchWithoutWake
	FencedEnterWithoutFence
	FencedWakeWithoutFence
	FencedCursorWithoutFence
	AttachWithoutLock
	AttachBelowClaimed
	EpochNotBumped
	KeepLimit
	CursorAfterGate
	DetachCheckBeforeRead
	GateBitFirst
	UngateWithoutGeneration
	DetachWithoutWake
	BitIsGate
	TakeOverLeavesLock
	TakeOverWithoutWake
	AnnounceWithoutBarrier
	AnnounceUnchecked
	NumberKept
	EpochBeforeBit
	NoLookBehindClaimed
	ClaimedWithoutFence
	NumberLast
	SleepWithoutBound
	mutations // how many
)
