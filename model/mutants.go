package model

// Mutant is a mutation with the scene that shows what it breaks, or the reason
// why it breaks nothing.
type Mutant struct {
	Mutation Mutation
	Name     string // as this package's documents call it
	What     string // what is done instead
	Scene    string // that catches it; for a harmless one, the first that does not
	Harmless string // why; "" if it is caught
	Slow     bool   // not found in seconds: left to the full run
}

// Mutants are all mutations: first those known from an earlier model of the
// protocol, under the names they had there, then those of what came later.
var Mutants = append(append(append(append(lockMutants, recordMutants...), waitMutants...), newMutants...), exclusiveMutants...)

var lockMutants = []Mutant{
	{Mutation: NoRevoking, Name: "norevoking", What: "a revoker stores 0 to bias, not revoking", Scene: "lock: three, futex"},
	{Mutation: RevokeWithoutBarrier, Name: "nomb_revoke", What: "no membarrier between revoking and the look at active", Scene: "lock: revoked while it enters"},
	{Mutation: RevokeWithoutWait, Name: "noactwait", What: "a revoker does not wait for active", Scene: "lock: two, slots granted again"},
	{Mutation: BiasBeforeActive, Name: "biasfirst", What: "bias is looked at only before active is set", Scene: "lock: revoked while it enters"},
	{Mutation: RebiasAfterRelease, Name: "rebiaslate", What: "bias is taken after the mutex is released", Scene: "lock: two, slots granted again"},
	{Mutation: HostLeavesActive, Name: "hostnoactive", What: "the host leaves active of the dead", Scene: "lock: revoked while it enters"},
	{Mutation: HostLeavesMutex, Name: "hostnomutex", What: "the host leaves the mutex to the dead", Scene: "lock: revoked while it enters"},
	{Mutation: HostBiasBlind, Name: "hostbiasblind", What: "the host stores 0 to bias whoever has it", Scene: "lock: one stopped for ever, one killed"},
	{Mutation: RegrantEarlyBlind, Name: "slotearly+hostactiveblind", What: "the slot is granted again before its repair, and active cleared whatever it holds", Scene: "lock: two, slots granted again"},
	{Mutation: HostMutexExact, Name: "hostmutexexact", What: "the host frees the mutex only if nobody marked waiters", Scene: "lock: sleepers"},
	{Mutation: HostWakesOwnersWaitersOnly, Name: "wakeifowner", What: "the host wakes only if the dead one held the mutex", Scene: "lock: sleepers"},
	{Mutation: HostWakesMutexOnly, Name: "nowakeall", What: "the host wakes only those who wait for the mutex", Scene: "wait: one sleeper"},
	{Mutation: HostWakesWithoutBump, Name: "nobump", What: "the host wakes without ringing the doorbells", Scene: "wait: one sleeper"},
	{Mutation: WakeBeforeRepair, Name: "bumpfirst", What: "the host rings and wakes before it repairs", Scene: "wait: claims"},
	{Mutation: WalkWithoutPending, Name: "walknovalid", What: "the walk for claims of the dead does not look at pending again", Scene: "records: claims, repair beside a lap"},
	{Mutation: HostWalksToTail, Name: "hostwalktail", What: "that walk ends at the stored tail, not at busyEnd", Scene: "records: claims"},
	{
		Mutation: HostLeavesBias, Name: "hostnobias", What: "the host leaves bias to the dead", Scene: "lock: two, slots granted again",
		Harmless: "the next one inside revokes a dead owner as it would a live one; its active is 0",
	},
	{
		Mutation: HostLeavesRevoking, Name: "hostrevexact", What: "the host leaves bias that is revoking the dead", Scene: "lock: two, slots granted again",
		Harmless: "the next one inside goes on with the revocation and finds active 0",
	},
}

var recordMutants = []Mutant{
	{Mutation: NoRoomForNextHeader, Name: "nohdrspace", What: "the next header is not counted as room", Scene: "records: two publishers, a lap"},
	{Mutation: NoZeroBehindPad, Name: "nopadzero", What: "a PAD does not zero the header behind it", Scene: "records: PAD"},
	{Mutation: NoZeroNext, Name: "nozero", What: "the next header is not zeroed", Scene: "lock: revoked while it enters"},
	{Mutation: NoZeroNextUnderClaim, Name: "nozeroclaim", What: "a claim does not zero the next header", Scene: "records: claims"},
	{Mutation: ZeroAfterCommit, Name: "zeroafter", What: "the next header is zeroed after the commit", Scene: "records: two publishers, a lap"},
	{Mutation: CommitBeforeFields, Name: "commitearly", What: "the commit word is stored before fields and payload", Scene: "records: two publishers, a lap"},
	{Mutation: TailBeforeCommit, Name: "tailearly", What: "sequence and tail are stored before the commit word", Scene: "records: two publishers, a lap"},
	{Mutation: NoCatchUp, Name: "nocatchup", What: "a slow entry believes the stored tail", Scene: "lock: revoked while it enters"},
	{Mutation: TailBeforeSequence, Name: "seqaftertail", What: "tail is stored before sequence", Scene: "lock: three, futex"},
	{Mutation: SequenceFromWord, Name: "seqfromtail", What: "catch-up takes the sequence from the stored word only", Scene: "lock: revoked while it enters"},
	{Mutation: PadCounts, Name: "padseq", What: "catch-up counts a PAD as a message", Scene: "records: PAD"},
	{Mutation: CatchUpWithoutStore, Name: "tailaccum", What: "catch-up does not store the tail it found", Scene: "records: late tail, nobody reads"},
	{Mutation: StoredTailNoGate, Name: "nopre", What: "the stored tail is no gate", Scene: "records: late tail, nobody reads"},
	{Mutation: NoPending, Name: "no pending", What: "pending goes to the tail over open claims", Scene: "records: claims, nobody reads"},
	{
		Mutation: KeepPrivateTail, Name: "ltailcache", What: "a slow entry keeps its own older tail if that is further on", Scene: "records: late tail, nobody reads",
		Harmless: "what it knew is still true, because catch-up stores the tail",
	},
}

var waitMutants = []Mutant{
	{Mutation: SleepWithoutBarrier, Name: "nomb_sleep", What: "a consumer sleeps without the membarrier", Scene: "wait: one sleeper"},
	{Mutation: SpaceWithoutBarrier, Name: "nomb_space", What: "a publisher sleeps without the membarrier", Scene: "wait: space"},
	{Mutation: BellAfterRecheck, Name: "belllate", What: "the doorbell is read after the last look", Scene: "wait: one sleeper"},
	{Mutation: ParkWithLazyCursor, Name: "lazypark", What: "a consumer waits without publishing its cursor", Scene: "wait: space"},
	{Mutation: ForgetWaiters, Name: "keepwaiters", What: "who slept takes the mutex without marking waiters", Scene: "lock: sleepers"},
	{Mutation: AbortWithoutWake, Name: "abortnowake", What: "an abort wakes nobody", Scene: "wait: claims"},
	{Mutation: ClaimedFalls, Name: "claimnomono", What: "claimed may fall", Scene: "lossy: a shorter record behind the dead"},
	{Mutation: ClaimedAfterRecord, Name: "claimedafter", What: "claimed is raised after the record", Scene: "lossy: overrun"},
	{Mutation: ZeroMeansEmpty, Name: "lossyzero", What: "a lossy consumer takes a zero header for the end without looking at claimed", Scene: "lossy: overrun"},
}

var newMutants = []Mutant{
	{Mutation: SleepCountedBeforeBell, Name: "SleepCountedBeforeBell", What: "a consumer counts its sleep before it reads the doorbell", Scene: "wait: one sleeper"},
	{Mutation: SeenAfterRing, Name: "SeenAfterRing", What: "the count of sleeps woken is read again after the ring", Scene: "wait: one sleeper"},
	{Mutation: SpaceSeenAfterRing, Name: "SpaceSeenAfterRing", What: "likewise of publishers' sleeps", Scene: "wait: space, one by one"},
	{Mutation: WakeWithoutBump, Name: "WakeWithoutBump", What: "a publisher wakes without changing the doorbell", Scene: "wait: one sleeper"},
	{Mutation: WakeBeforeBump, Name: "WakeBeforeBump", What: "a publisher wakes before it changes the doorbell", Scene: "wait: one sleeper"},
	{Mutation: SpaceBellsLate, Name: "SpaceBellsLate", What: "a publisher reads the doorbells after its last look", Scene: "wait: space"},
	{Mutation: ClaimEndsWithoutSpaceWake, Name: "ClaimEndsWithoutSpaceWake", What: "the end of a claim does not ring the pending doorbell", Scene: "wait: for a claim to end"},
	{Mutation: BusyEndAfterBusy, Name: "BusyEndAfterBusy", What: "busyEnd is stored after BUSY", Scene: "records: claims"},
	{Mutation: FieldsAfterBusy, Name: "FieldsAfterBusy", What: "owner and sequence are stored after BUSY", Scene: "records: claims"},
	{Mutation: RegrantBeforeWalk, Name: "RegrantBeforeWalk", What: "a slot is granted again before the walk for its claims", Scene: "records: claims, slots granted again"},
	{Mutation: ClaimedWithoutNextHeader, Name: "ClaimedWithoutNextHeader", What: "claimed does not count the next header", Scene: "lossy: overrun"},
	{Mutation: ClaimedNotRounded, Name: "ClaimedNotRounded", What: "claimed is stored as it is while the publisher goes by the rounded one", Scene: "lossy: one biased publisher"},
	{Mutation: ClaimedRoundedDown, Name: "ClaimedRoundedDown", What: "claimed is rounded down", Scene: "lossy: one biased publisher"},
	{Mutation: IndexBeyond, Name: "IndexBeyond", What: "an index entry names the end of the record, not its start", Scene: "lossy: index entry of a dead one"},
	{Mutation: ResyncWithoutFloor, Name: "ResyncWithoutFloor", What: "a lossy consumer resyncs to entries that claimed has passed", Scene: "lossy: comes to an end"},
	{Mutation: ResyncBeyondTail, Name: "ResyncBeyondTail", What: "a lossy consumer resyncs to entries beyond the stored tail", Scene: "lossy: PAD of a dead one"},
	{Mutation: PartialBatchWithoutWake, Name: "PartialBatchWithoutWake", What: "a batch that does not fit waits for space without waking", Scene: "wait: a batch larger than the ring"},
	{Mutation: FencedEnterWithoutFence, Name: "FencedEnterWithoutFence", What: "fenced: no fence between active and bias", Scene: "lock: fenced"},
	{Mutation: RevokeWithoutBarrier, Name: "RevokeWithoutBarrier, fenced", What: "fenced: no fence between revoking and the look at active", Scene: "lock: fenced"},
	{Mutation: FencedWakeWithoutFence, Name: "FencedWakeWithoutFence", What: "fenced: no fence between the commit and the look at sleeps", Scene: "wait: fenced"},
	{Mutation: FencedCursorWithoutFence, Name: "FencedCursorWithoutFence", What: "fenced: no fence between the cursor and the look at publishers' sleeps", Scene: "wait: fenced"},
	{
		Mutation: SleepWithoutBarrier, Name: "SleepWithoutBarrier, fenced", What: "fenced: no fence between counting the sleep and the last look", Scene: "wait: fenced",
		Harmless: "counting is a locked operation, which is a full fence on amd64; arm64 needs the fence",
	},
	{Mutation: AttachWithoutLock, Name: "AttachWithoutLock", What: "the host attaches without entering the ring", Scene: "attach: at the oldest"},
	{Mutation: AttachBelowClaimed, Name: "AttachBelowClaimed", What: "a start is taken that claimed has passed", Scene: "attach: at the oldest"},
	{Mutation: EpochNotBumped, Name: "EpochNotBumped", What: "the gate epoch stays as it is", Scene: "attach: at the oldest"},
	{Mutation: KeepLimit, Name: "KeepLimit", What: "a publisher keeps its limit when the epoch is new", Scene: "attach: at the oldest"},
	{
		Mutation: CursorAfterGate, Name: "CursorAfterGate", What: "the cursor is stored after the gate bit", Scene: "attach: at the oldest",
		Harmless: "both are under the lock; only a publisher's hint outside reads cursors then, and the wake behind both has it look again",
	},
	{Mutation: DetachCheckBeforeRead, Name: "DetachCheckBeforeRead", What: "a reliable consumer looks whether it is detached before it reads, not after", Scene: "detach: while it reads"},
	{Mutation: GateBitFirst, Name: "GateBitFirst", What: "the gate bit is cleared before the gate generation", Scene: "detach: while it reads"},
	{Mutation: UngateWithoutGeneration, Name: "UngateWithoutGeneration", What: "the gate generation is not cleared", Scene: "lag: detached by a publisher"},
	{Mutation: DetachWithoutWake, Name: "DetachWithoutWake", What: "the host detaches and wakes nobody", Scene: "detach: while it sleeps"},
	{Mutation: BitIsGate, Name: "BitIsGate", What: "a gate counts by its bit, though its generation is gone", Scene: "detach: while it sleeps"},
	{Mutation: TakeOverLeavesLock, Name: "TakeOverLeavesLock", What: "a successor leaves the mutex to the host before it", Scene: "attach: store by store"},
	{Mutation: TakeOverWithoutWake, Name: "TakeOverWithoutWake", What: "a successor wakes nobody when it takes over", Scene: "wait: the host dies too"},
}

// SceneNamed returns the scene of a name, or nil.
func SceneNamed(name string) *Scene {
	for i := range Scenes {
		if Scenes[i].Name == name {
			return &Scenes[i]
		}
	}
	return nil
}
