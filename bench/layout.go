package bench

import (
	"structs"
	"unsafe"

	"github.com/shmbus/shmbus/shm"
)

// The desk is a memfd that all actors of a cell have as descriptor 3. Each has
// a place there, at placeSize * (1 + its number), which only it writes.
// bench/peers/peer.h says the same in C.
//
//	0x000  unused
//	0x100  place of actor 0, 0x200 of actor 1, …
type place struct {
	_ structs.HostLayout

	state    shm.Word64 // stateAttached, stateWarm, stateDone
	start    shm.Word64 // counter when the measured messages began
	end      shm.Word64 // counter when they were over
	messages shm.Word64 // measured
	sum      shm.Word64 // of the checker, since the warm-up
	cpu      shm.Word64 // nanoseconds
	switches shm.Word64 // context switches
	samples  shm.Word64 // latencies, in the samples region
	share    shm.Word64 // of the slowest publisher when the first was through, in millionths of its fair share
	spent    shm.Word64 // burst: counter's ticks spent publishing
	read     shm.Word64 // burst: messages of each publisher read by all subscribers
	contest  shm.Word64 // messages of all publishers when the first was through
	until    shm.Word64 // counter then
	_        [152]byte
}

// States of an actor; they only go up. Nobody begins the warm-up before all
// are attached, nor the measurement before all are warm.
const (
	stateAttached = 1 // sync(state): stored by the actor, pairs with await
	stateWarm     = 2
	stateDone     = 3 // sync(state): the results are in the place, pairs with collect
)

const (
	placeSize = 256
)

// Samples are a memfd, descriptor 4: latencies in ticks, one u64 each, written
// by the actor that measures them.
const sampleSize = 8

// limitHeader is the first page of the bare rings and ping-pongs; slots follow
// it. Each word is alone on two lines and has one writer.
type limitHeader struct {
	_ structs.HostLayout

	tail shm.Word64 // messages published; publisher
	_    [120]byte
	head shm.Word64 // messages read; subscriber
	_    [120]byte
	ping shm.Word32 // actor 0
	_    [124]byte
	pong shm.Word32 // actor 1
	_    [124]byte
}

// mutexHeader is the first page of the ring behind a plain lock.
type mutexHeader struct {
	_ structs.HostLayout

	lock     shm.Word32 // 0 free, 1 held, 2 held and others sleep
	_        [124]byte
	tail     shm.Word64 // inside the lock
	sequence shm.Word64 // inside the lock
	_        [112]byte
	head     shm.Word64 // subscriber
	_        [120]byte
}

// mutexRecord is a record header of the same layout as package ring's.
type mutexRecord struct {
	_ structs.HostLayout

	commit   shm.Word64 // sync(mutex.commit): stored by the publisher inside the lock, pairs with receive
	sequence shm.Word64
	time     shm.Word64
	meta     shm.Word64
}

const limitPage = 4096

var (
	_ [placeSize]byte = [unsafe.Sizeof(place{})]byte{}
	_ [0x080]byte     = [unsafe.Offsetof(limitHeader{}.head)]byte{}
	_ [0x100]byte     = [unsafe.Offsetof(limitHeader{}.ping)]byte{}
	_ [0x180]byte     = [unsafe.Offsetof(limitHeader{}.pong)]byte{}
	_ [0x080]byte     = [unsafe.Offsetof(mutexHeader{}.tail)]byte{}
	_ [0x100]byte     = [unsafe.Offsetof(mutexHeader{}.head)]byte{}
	_ [32]byte        = [unsafe.Sizeof(mutexRecord{})]byte{}
)
