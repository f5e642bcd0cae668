package model

// Program counters. p… are a publisher's (those up to pWakeOne also the host's
// while it attaches), c… a consumer's, l… a lossy one's, h… the host's while
// it repairs, a… while it attaches.
const (
	pIdle = iota
	pBiased
	pLock
	pLockWait
	pLockSleep
	pLockAsleep
	pHave
	pRevoke
	pAwait
	pUnlock
	pWakeOne
	pGiveUp
	pNext
	pWalk
	pGates
	pCursor
	pCursorRead
	pUngate
	pUngateBit
	pLag
	pFill
	pEnd
	pWake
	pRing
	pRingWake
	pWakePending
	pPendingRing
	pPendingWake
	pSpace
	pSpaceCount
	pSpaceBarrier
	pSpaceTail
	pSpaceGates
	pSpaceCursor
	pSpacePending
	pSpaceCommit
	pSpaceBells
	pSpaceSleep
	pSpaceAsleep
	pSpaceSpin
	pNewGates // this one and the next three: exclusive
	pBehindClaimed
	pLagNumber
	pLagSequence

	cNext
	cRead
	cBroken
	cFields
	cView
	cSpace
	cSpaceRing
	cSpaceWake
	cSpin
	cPark
	cCount
	cBarrier
	cRecheck
	cRecheckMore
	cBellLate
	cSleep
	cAsleep

	lRead
	lCopy
	lFields
	lCheck
	lFloor
	lTail
	lIndex

	aIdle
	aGrant
	aGate
	aBump
	aWake
	aDone

	xClaimed // while the host attaches to an exclusive ring
	xTail
	xSequence
	xTailAgain
	xPeek
	xPeekFields
	xPeekClaimed
	xFloor
	xOldest
	xOldestIndex
	xWalk
	xNonsense
	xWalkFields
	xStart
	xNumber
	xBit
	xBarrier
	xCheck

	hIdle
	hActive
	hMutex
	hOwned
	hRevoking
	hWalkEnd
	hWalkFrom
	hWalkHeader
	hWalkOwner
	hWalkPending
	hAbort
	hFree
	hUngate
	hUngateBit
	hBump
	hWake
	hTakeLock // from here on: a successor that takes over
	hTakeBump
	hTakeWake
	stepCountAll
)

var steps = [stepCountAll]struct {
	name string
	run  func(*machine)
}{
	pIdle: {"idle", stepIdle}, pBiased: {"biased entry", stepBiased}, pLock: {"lock", stepLock}, pLockWait: {"lock, again", stepLockWait},
	pLockSleep: {"lock, sleep", stepLockSleep}, pLockAsleep: {"asleep on the mutex", stepAsleep}, pHave: {"has the mutex", stepHave},
	pRevoke: {"revoke", stepRevoke}, pAwait: {"awaits the owner", stepAwait}, pUnlock: {"unlock", stepUnlock}, pWakeOne: {"wake one", stepWakeOne},
	pGiveUp: {"gave up", stepGaveUp}, pNext: {"next of the batch", stepNext}, pWalk: {"walk pending", stepWalk}, pGates: {"gates", stepGates},
	pCursor: {"gate", stepCursor}, pCursorRead: {"cursor", stepCursorRead}, pUngate: {"ungate", stepUngate}, pUngateBit: {"ungate, second", stepUngateBit}, pLag: {"laggards", stepLag},
	pFill: {"fill", stepFill}, pEnd: {"end claim", stepEnd}, pWake: {"wake", stepWake}, pRing: {"ring", stepRing}, pRingWake: {"ring, wake", stepRingWake},
	pWakePending: {"wake pending", stepWakePending}, pPendingRing: {"ring pending", stepPendingRing}, pPendingWake: {"ring pending, wake", stepPendingWake},
	pSpace: {"wait for space", stepSpace}, pSpaceCount: {"space, count", stepSpaceCount}, pSpaceBarrier: {"space, barrier", stepSpaceBarrier},
	pSpaceTail: {"space, tail", stepSpaceTail}, pSpaceGates: {"space, gates", stepSpaceGates}, pSpaceCursor: {"space, cursor", stepSpaceCursor},
	pSpacePending: {"space, pending", stepSpacePending}, pSpaceCommit: {"space, claim", stepSpaceCommit}, pSpaceBells: {"space, late bells", stepSpaceBells}, pSpaceSleep: {"space, sleep", stepSpaceSleep},
	pSpaceAsleep: {"asleep for space", stepAsleep}, pSpaceSpin: {"space, spin", stepSpaceSpin},
	pNewGates: {"new gates", stepNewGates}, pBehindClaimed: {"behind claimed", stepBehindClaimed},
	pLagNumber: {"laggards, number", stepLagNumber}, pLagSequence: {"laggards, sequence", stepLagSequence},

	cNext: {"next", stepConsume}, cRead: {"read", stepRead}, cBroken: {"broken", stepBroken}, cFields: {"fields", stepFields}, cView: {"view", stepView},
	cSpace: {"space sleeps", stepCursorSpace}, cSpaceRing: {"ring space", stepSpaceRing}, cSpaceWake: {"ring space, wake", stepSpaceWake},
	cSpin: {"spin", stepSpin}, cPark: {"park", stepPark}, cCount: {"park, count", stepCount}, cBarrier: {"park, barrier", stepParkBarrier},
	cRecheck: {"park, look", stepRecheck}, cRecheckMore: {"park, look further", stepRecheckMore}, cBellLate: {"park, late bell", stepBellLate},
	cSleep: {"park, sleep", stepSleep}, cAsleep: {"asleep", stepConsumerAsleep},

	lRead: {"lossy read", stepLossyRead}, lCopy: {"copy", stepLossyCopy}, lFields: {"lossy fields", stepLossyFields}, lCheck: {"check claimed", stepLossyCheck},
	lFloor: {"resync, floor", stepFloor}, lTail: {"resync, tail", stepLossyTail}, lIndex: {"resync, index", stepIndex},

	aIdle: {"idle", stepAttach}, aGrant: {"grant", stepGrant}, aGate: {"gate", stepGate}, aBump: {"bump", stepAttachBump}, aWake: {"wake", stepAttachWake}, aDone: {"answer", stepAttached},

	xClaimed: {"announce", stepAnnounce}, xTail: {"end, tail", stepEndTail}, xSequence: {"end, sequence", stepEndSequence}, xTailAgain: {"end, tail again", stepEndTailAgain},
	xPeek: {"end, record", stepPeek}, xPeekFields: {"end, fields", stepPeekFields}, xPeekClaimed: {"end, claimed", stepPeekClaimed},
	xFloor: {"oldest, claimed", stepOldestFloor}, xOldest: {"oldest, tail", stepOldestTail}, xOldestIndex: {"oldest, index", stepOldestIndex},
	xWalk: {"start, record", stepStartWalk}, xNonsense: {"start, nonsense", stepNonsense}, xWalkFields: {"start, fields", stepStartFields},
	xStart: {"cursor", stepStart}, xNumber: {"number", stepNumber}, xBit: {"gate", stepBit}, xBarrier: {"barrier", stepStartBarrier}, xCheck: {"check claimed", stepStartCheck},

	hIdle: {"idle", stepHostIdle}, hActive: {"active", stepHostActive}, hMutex: {"mutex", stepHostMutex}, hOwned: {"bias owned", stepHostOwned},
	hRevoking: {"bias revoking", stepHostRevoking}, hWalkEnd: {"walk, end", stepHostWalkEnd}, hWalkFrom: {"walk, begin", stepHostWalkFrom},
	hWalkHeader: {"walk, header", stepHostWalkHeader}, hWalkOwner: {"walk, owner", stepHostWalkOwner}, hWalkPending: {"walk, pending", stepHostWalkPending},
	hAbort: {"abort", stepHostAbort}, hFree: {"free slot", stepHostFree}, hUngate: {"ungate", stepHostUngate}, hUngateBit: {"ungate, second", stepHostUngateBit},
	hBump: {"bump", stepHostBump}, hWake: {"wake", stepHostWake},
	hTakeLock: {"take over", stepTakeLock}, hTakeBump: {"take over, bump", stepTakeBump}, hTakeWake: {"take over, wake", stepTakeWake},
}
