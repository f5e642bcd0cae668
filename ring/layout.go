package ring

import (
	"structs"
	"unsafe"

	"github.com/shmbus/shmbus/shm"
)

// This file, and only this file, says where the bytes of a ring are. All
// numbers are little-endian. Words that different parties write are 128 bytes
// apart on every processor (adjacent-line prefetch).
//
// A ring is two regions, three where guests of another user are admitted.
//
//	log region          mapped read-write by publishers, read-only by subscribers
//	0x0000  header                                      4096 bytes
//	0x1000  publisher blocks, 4096 bytes each           one a slot, the host's last
//	        records                                     capacity bytes
//
//	cursor region       mapped read-write by subscribers, read-only by publishers
//	0x0000  cursor header                               4096 bytes
//	0x1000  subscriber blocks, 4096 bytes each          one a slot
//	        totals blocks, 4096 bytes each              two, written by the host alone
//
//	guest region        laid out as a cursor region; guests write it, nobody trusts it,
//	                    and it has no totals
//
// The memory of a block is allocated when its slot is granted. Reading a block
// that is not granted would allocate it: the bitmaps say which are.
const (
	logMagic    = 0x31474f4c_53424d53 // "SMBSLOG1"
	cursorMagic = 0x31525543_53424d53 // "SMBSCUR1"
	guestMagic  = 0x31545347_53424d53 // "SMBSGST1"

	// LayoutVersion is the version of all that this file states. Regions of
	// another version are refused, with both versions named.
	LayoutVersion = 2

	pageSize   = 4096
	headerPage = pageSize
	blockSize  = pageSize

	maxPublishers  = 64
	maxSubscribers = 256
	indexBlocks    = 64
	labelSize      = 64
	nameSize       = 64
	bucketCount    = 296

	flagFenced    = 1 << 0
	flagExclusive = 1 << 1

	clockMonotonic = 0 // publish times are CLOCK_MONOTONIC nanoseconds
	clockCounter   = 1 // publish times are values of the processor's counter, see clock.go
)

// logHeader is the first page of the log region.
//
//	0x000  magic, stored last; geometry: written once by the host before anybody else maps it
//	0x100  who is here: written by the host alone
//	0x200  gates: host inside the lock; cleared by the host or by a publisher inside the lock
//	0x280  bias       0x300 mutex       lock words, see lock.go
//	0x380  tail, sequence, pending, busy end, last entrant: whoever is inside the lock
//	0x400  claimed: whoever is inside the lock
//	0x480  doorbell: publishers and host, outside the lock
//	0x500  space sleeps: publishers about to wait for space
//	0x580  pending doorbell: publishers, when a claim ended
//	0x600  sparse index: position of the first record begun in each 1/64 of the ring; inside the lock
//	0x800  gate generations: generation of the reliable subscriber of each slot, 0 when detached
type logHeader struct {
	_ structs.HostLayout

	magic       shm.Word64
	version     uint32
	flags       uint32
	capacity    uint64
	start       uint64
	id          uint64
	schema      uint32
	publishers  uint32
	subscribers uint32
	labelLen    uint32
	created     int64
	label       [labelSize]byte
	clock       uint64 // what publish times are
	_           [15]uint64

	hostGeneration  shm.Word32
	_               [4]byte
	publishersEver  shm.Word64
	subscribersEver shm.Word64
	publisherSlots  shm.Word64 // bit n: publisher slot n is granted
	slotWords
	_ [128]byte
	_ [32]byte
	gateWords
	_               [80]byte
	bias            shm.Word64
	_               [120]byte
	mutex           shm.Word32
	_               [124]byte
	tail            shm.Word64
	sequence        shm.Word64
	pending         shm.Word64
	busyEnd         shm.Word64
	lastEntrant     shm.Word32
	_               [92]byte
	claimed         shm.Word64
	_               [120]byte
	doorbell        shm.Word32
	_               [124]byte
	spaceSleeps     shm.Word64
	_               [120]byte
	pendingDoorbell shm.Word32
	_               [124]byte
	index           [indexBlocks]shm.Word64
	gateGenerations [maxSubscribers]shm.Word32
	_               [1024]byte
}

// slotWords say which subscriber slots are granted: bit n of all four is slot n.
type slotWords struct {
	_ structs.HostLayout

	subscriberSlots [4]shm.Word64
	guestSlots      [4]shm.Word64
}

// gateWords say who holds publishers back.
type gateWords struct {
	_ structs.HostLayout

	gateEpoch shm.Word64
	gates     [4]shm.Word64 // bit n: subscriber slot n holds publishers back
	lagLimits shm.Word64    // not 0 once a subscriber limited its lag
}

var (
	_ [pageSize]byte = [unsafe.Sizeof(logHeader{})]byte{}
	_ [0x080]byte    = [unsafe.Offsetof(logHeader{}.clock)]byte{}
	_ [0x100]byte    = [unsafe.Offsetof(logHeader{}.hostGeneration)]byte{}
	_ [0x200]byte    = [unsafe.Offsetof(logHeader{}.gateEpoch)]byte{}
	_ [0x280]byte    = [unsafe.Offsetof(logHeader{}.bias)]byte{}
	_ [0x300]byte    = [unsafe.Offsetof(logHeader{}.mutex)]byte{}
	_ [0x380]byte    = [unsafe.Offsetof(logHeader{}.tail)]byte{}
	_ [0x400]byte    = [unsafe.Offsetof(logHeader{}.claimed)]byte{}
	_ [0x480]byte    = [unsafe.Offsetof(logHeader{}.doorbell)]byte{}
	_ [0x500]byte    = [unsafe.Offsetof(logHeader{}.spaceSleeps)]byte{}
	_ [0x580]byte    = [unsafe.Offsetof(logHeader{}.pendingDoorbell)]byte{}
	_ [0x600]byte    = [unsafe.Offsetof(logHeader{}.index)]byte{}
	_ [0x800]byte    = [unsafe.Offsetof(logHeader{}.gateGenerations)]byte{}
)

// publisherBlock belongs to one publisher slot.
//
//	0x000  active: 0, or the owner's generation while it is inside by its bias
//	0x080  identity: written by the host when the slot is granted
//	0x100  statistics: written by the owner
//	0x180  waiting: 0, or since when the owner waits, see turns.go; cleared by the host with a grant
type publisherBlock struct {
	_ structs.HostLayout

	active     shm.Word32
	_          [124]byte
	generation shm.Word32
	nameLen    uint32
	member     uint64
	name       [nameSize]byte
	_          [48]byte
	stats      publisherStats
	waiting    shm.Word32
	_          [3840 - 16*8 - 4]byte
}

// publisherStats are plain counters, written by one party.
// sync(stats): no order among them; pairs with PublisherCounters.add.
type publisherStats struct {
	_ structs.HostLayout

	published    shm.Word64
	bytes        shm.Word64
	refused      shm.Word64
	dropped      shm.Word64
	aborted      shm.Word64
	blockedNanos shm.Word64
	revocations  shm.Word64
	contended    shm.Word64
	batches      shm.Word64
	wakes        shm.Word64
	stalls       shm.Word64
	_            [5]uint64
}

var (
	_ [pageSize]byte = [unsafe.Sizeof(publisherBlock{})]byte{}
	_ [0x080]byte    = [unsafe.Offsetof(publisherBlock{}.generation)]byte{}
	_ [0x100]byte    = [unsafe.Offsetof(publisherBlock{}.stats)]byte{}
	_ [0x180]byte    = [unsafe.Offsetof(publisherBlock{}.waiting)]byte{}
)

// cursorHeader is the first page of a cursor or guest region.
//
//	0x000  magic, stored last; id of the ring: written once by the host
//	0x080  sleeps: how often a subscriber went to sleep; subscribers
//	0x100  space doorbell: subscribers, when a publisher waits for space
//	0x200  exclusive rings: gates, and who is here, in place of those in the log header; the host alone
//	0x400  exclusive rings: gate numbers: of the reliable subscriber of each slot, 0 when it is detached
//	0x800  scale of the publish times, and which slot was last added to the totals: the host alone
type cursorHeader struct {
	_ structs.HostLayout

	magic         shm.Word64
	version       uint32
	subscribers   uint32
	id            uint64
	_             [104]byte
	sleeps        shm.Word64
	_             [120]byte
	spaceDoorbell shm.Word32
	_             [124]byte
	_             [128]byte
	gateWords
	subscribersEver shm.Word64
	slotWords
	ended       shm.Word32 // generation of the exclusive publisher once it has gone
	_           [388]byte
	gateNumbers [maxSubscribers]shm.Word32
	scales      shm.Word64 // how many were published; the last one is in scale[scales&1]
	scale       [2]scaleWords
	folded      shm.Word64 // see totals.go
	_           [0x800 - 64]byte
}

// scaleWords make nanoseconds of the counter: shm.TSCScale.
// sync(scale): valid once scales says so; pairs with refreshClock.
type scaleWords struct {
	_ structs.HostLayout

	counter    shm.Word64
	nanos      shm.Word64
	multiplier shm.Word64
}

var (
	_ [pageSize]byte = [unsafe.Sizeof(cursorHeader{})]byte{}
	_ [0x080]byte    = [unsafe.Offsetof(cursorHeader{}.sleeps)]byte{}
	_ [0x100]byte    = [unsafe.Offsetof(cursorHeader{}.spaceDoorbell)]byte{}
	_ [0x200]byte    = [unsafe.Offsetof(cursorHeader{}.gateEpoch)]byte{}
	_ [0x230]byte    = [unsafe.Offsetof(cursorHeader{}.subscribersEver)]byte{}
	_ [0x238]byte    = [unsafe.Offsetof(cursorHeader{}.subscriberSlots)]byte{}
	_ [0x278]byte    = [unsafe.Offsetof(cursorHeader{}.ended)]byte{}
	_ [0x400]byte    = [unsafe.Offsetof(cursorHeader{}.gateNumbers)]byte{}
	_ [0x800]byte    = [unsafe.Offsetof(cursorHeader{}.scales)]byte{}
	_ [0x838]byte    = [unsafe.Offsetof(cursorHeader{}.folded)]byte{}
)

// subscriberBlock belongs to one subscriber slot.
//
//	0x000  cursor and the sequence that goes with it: written by the owner
//	0x080  identity: written by the host when the slot is granted
//	0x100  statistics: written by the owner
//	0x400  latency histogram: written by the owner
type subscriberBlock struct {
	_ structs.HostLayout

	cursor     shm.Word64
	sequence   shm.Word64
	_          [112]byte
	generation shm.Word32
	mode       uint32
	member     uint64
	maxLag     uint64
	nameLen    uint32
	_          [4]byte
	name       [nameSize]byte
	_          [32]byte
	stats      subscriberStats
	_          [0x300 - 16*8]byte
	buckets    [bucketCount]shm.Word64 // sync(stats): pairs with endRun, SubscriberCounters.add
	_          [704]byte
}

// subscriberStats are plain counters, written by one party.
// sync(stats): no order among them; pairs with SubscriberCounters.add.
type subscriberStats struct {
	_ structs.HostLayout

	delivered   shm.Word64
	bytes       shm.Word64
	lostPolling shm.Word64
	lostReading shm.Word64
	aborted     shm.Word64
	wakeUps     shm.Word64
	parks       shm.Word64
	spins       shm.Word64
	latency     shm.Word64 // nanoseconds, of all that are in the buckets
	_           [7]uint64
}

var (
	_ [pageSize]byte = [unsafe.Sizeof(subscriberBlock{})]byte{}
	_ [0x080]byte    = [unsafe.Offsetof(subscriberBlock{}.generation)]byte{}
	_ [0x100]byte    = [unsafe.Offsetof(subscriberBlock{}.stats)]byte{}
	_ [0x400]byte    = [unsafe.Offsetof(subscriberBlock{}.buckets)]byte{}
)

// totalsBlock is what the participants that have left had counted. There are
// two: the host writes one while the other is valid, see totals.go.
//
//	0x000  the sum of the statistics of publishers
//	0x080  of subscribers
//	0x100  what the host counts
//	0x400  of their latency histograms
//
// sync(folded): valid once folded says so; pairs with Statistics.
type totalsBlock struct {
	_ structs.HostLayout

	publishers  publisherStats
	subscribers subscriberStats
	repairs     shm.Word64
	orphans     shm.Word64
	_           [0x300 - 16]byte
	buckets     [bucketCount]shm.Word64
	_           [704]byte
}

var (
	_ [pageSize]byte = [unsafe.Sizeof(totalsBlock{})]byte{}
	_ [0x080]byte    = [unsafe.Offsetof(totalsBlock{}.subscribers)]byte{}
	_ [0x100]byte    = [unsafe.Offsetof(totalsBlock{}.repairs)]byte{}
	_ [0x400]byte    = [unsafe.Offsetof(totalsBlock{}.buckets)]byte{}
)

// record is the header of a record; its payload follows. Records begin at
// multiples of 32 and never straddle the end of the ring.
//
//	0x00  commit word: length 32 | state 4 | position tag 28, see record.go
//	0x08  sequence: number of the message in its topic
//	0x10  publish time, as the log header's clock says; 0: none
//	0x18  kind 32 (the user's) | publisher slot 16 | flags 16
//	0x20  payload, padded to a multiple of 32
type record struct {
	_ structs.HostLayout

	commit   shm.Word64
	sequence shm.Word64
	time     shm.Word64
	meta     shm.Word64
}

const (
	recordHeader = 32
	recordAlign  = 32
)

var _ [recordHeader]byte = [unsafe.Sizeof(record{})]byte{}
