package steps

import (
	"context"
	"errors"
	"fmt"

	"github.com/shmbus/shmbus/ring"
)

// scenario is one call in one situation.
type scenario struct {
	name         string
	fenced       bool
	oneProcessor bool   // nobody spins: sleeps come at once
	start        uint64 // position of the first record
	wait         ring.WaitStrategy
	victim       part
	attempts     int  // messages that the call publishes at most
	anyOrder     bool // not first things first

	setup  func(s *scene)   // before the victim is there
	pauses []func(s *scene) // at each pause of the victim
	begin  func(s *scene)   // while it stands before the call
	// acts are done, one a sleep, while the victim sleeps for others; after
	// that many sleeps, if patience is set, also while the runtime sleeps.
	acts     []func(s *scene)
	patience int
	skip     int // boundaries before that many sleeps are another scenario's

	// owner is a second traced process. It is left standing inside, that many
	// instructions further than the first where it is; it goes on once the
	// victim is repaired, unless it dies then.
	owner       *part
	ownerDepth  int
	ownerStands func(s *scene)
	ownerDies   bool

	again  func(s *scene)       // what the next host repeats
	verify func(s *scene) error // that the whole call went the way that is meant
}

func scenarioNamed(name string) *scenario {
	for _, list := range [][]*scenario{publishing, contending, claiming, consuming, hosting} {
		for _, sc := range list {
			if sc.name == name {
				return sc
			}
		}
	}
	return nil
}

var background = context.Background()

// Calls.

func callPublish(v *victim) {
	_, err := v.p.Publish(background, v.payload, 0, 1)
	must(err)
	v.did = 1
}

func callTryPublish(v *victim) {
	switch _, err := v.p.TryPublish(v.payload, 0, 1); err {
	case nil:
		v.did = 1
	case ring.ErrFull:
	default:
		panic(err)
	}
}

func callBatch(v *victim) {
	n, err := v.p.PublishBatch(background, v.batch, 0, 1, true)
	must(err)
	v.did = n
}

// publisher is a victim that prepares so and then makes a call.
func publisher(prepare, call func(v *victim)) part { return part{"publisher", prepare, call} }

// Situations.

// biasedAt is the bias of the victim, with the next record at start+at, and a
// message of n bytes ready.
func biasedAt(at uint64, n int) func(v *victim) {
	return func(v *victim) {
		v.bias()
		if at != 0 {
			v.advance(v.ring.Options().Start + capacity + at)
		}
		v.ready(n)
	}
}

// fast is the bias of the victim where nothing is due for a small message but
// to write it: neither gates nor words of others are looked at.
func fast(n int) func(v *victim) {
	return func(v *victim) {
		biasedAt(8<<10, n)(v)
		v.publish(1, minMessage)
		v.payload = nil
		v.ready(n)
	}
}

func prepared(n int) func(v *victim) { return func(v *victim) { v.ready(n) } }

func survivorBiased(s *scene) { s.bias(s.survivor, survivorSlot) }

func drained(s *scene) { s.drain() }

// fullBut publishes until fewer than n bytes are left before the reader that
// reads nothing.
func (s *scene) fullBut(n uint64) {
	for s.ring.Stat().Used+n < capacity {
		s.publishOne(s.survivor, survivorSlot, make([]byte, 400-headerSize))
	}
}

func biasedToVictim(s *scene) error {
	if b := s.ring.Stat().BiasSlot; b != victimSlot {
		return fmt.Errorf("the ring is biased to slot %d, not to the victim", b)
	}
	return nil
}

func position(want uint64) func(s *scene) error {
	return func(s *scene) error {
		if got := s.ring.Stat().Position; got != want {
			return fmt.Errorf("the ring ends at %#x, want %#x", got, want)
		}
		return nil
	}
}

func revoked(s *scene) error {
	for _, p := range s.ring.Publishers() {
		if p.Slot == victimSlot && p.Revocations == 0 {
			return errors.New("the victim revoked nobody")
		}
	}
	return nil
}

// publishing is a publisher that is alone.
var publishing = []*scenario{
	{name: "publish-first", victim: publisher(prepared(64), callPublish), attempts: 1, verify: position(96)},
	{name: "publish-first-fenced", fenced: true, victim: publisher(prepared(64), callPublish), attempts: 1},
	{name: "publish-fast", victim: publisher(fast(32), callPublish), attempts: 1, verify: biasedToVictim},
	{name: "publish-fast-wakes", victim: publisher(fast(32), callPublish), begin: (*scene).sleepDeep, attempts: 1, verify: biasedToVictim},
	{name: "trypublish-fast", victim: publisher(fast(50), callTryPublish), attempts: 1, verify: biasedToVictim},
	{name: "publish-biased", victim: publisher(biasedAt(0, 64), callPublish), attempts: 1, verify: biasedToVictim},
	{name: "publish-biased-fenced", fenced: true, victim: publisher(biasedAt(0, 64), callPublish), attempts: 1, verify: biasedToVictim},
	{name: "publish-becomes-biased", attempts: 6, verify: biasedToVictim,
		victim: publisher(func(v *victim) { v.publish(60, minMessage); v.readyBatch(20, 20, 20, 20, 20, 20) }, func(v *victim) {
			for _, b := range v.batch {
				_, err := v.p.Publish(background, b, 0, 1)
				must(err)
				v.did++
			}
		})},
	// The next record ends beyond claimed, the block of the sparse index and
	// what may lie behind the stored tail.
	{name: "publish-room", victim: publisher(biasedAt(7<<10-64, 64), callPublish), attempts: 1, verify: biasedToVictim},
	{name: "publish-large", victim: publisher(biasedAt(7<<10, 4000), callPublish), attempts: 1, verify: biasedToVictim},
	{name: "publish-pad", start: 8 << 10, victim: publisher(biasedAt(8<<10-96, 200), callPublish), attempts: 1, verify: position(16<<10 + 256)},
	{name: "publish-pad-fenced", fenced: true, start: 8 << 10, victim: publisher(biasedAt(8<<10-96, 200), callPublish), attempts: 1},
	{name: "publish-pad-slow", setup: func(s *scene) {
		for s.ring.Stat().Position < capacity-1024 {
			s.publish(s.survivor, survivorSlot, 1, 512-headerSize)
		}
		s.drain()
		s.publish(s.survivor, survivorSlot, 1, 1024-64-headerSize)
	}, victim: publisher(prepared(300), callPublish), attempts: 1},
	{name: "publish-over-2^32", start: 1<<32 - 8<<10, victim: publisher(biasedAt(8<<10-96, 200), callPublish), attempts: 1, verify: position(1<<32 + 256)},
	{name: "publish-over-2^64", start: 1<<64 - 8<<10, victim: publisher(biasedAt(8<<10-64, 32), callPublish), attempts: 1, verify: position(0)},
	{name: "publish-tag-wraps", start: 1<<33 - 8<<10, victim: publisher(biasedAt(8<<10-96, 200), callPublish), attempts: 1, verify: position(1<<33 + 256)},
	{name: "publish-limit", victim: publisher(func(v *victim) {
		v.bias()
		v.advance(12 << 10)
		v.pause()
		v.advance(16<<10 - 64)
		v.ready(100)
	}, callPublish), pauses: []func(*scene){drained}, attempts: 1, verify: biasedToVictim},
	{name: "publish-wakes", victim: publisher(biasedAt(0, 64), callPublish), begin: (*scene).sleepDeep, attempts: 1, verify: biasedToVictim},
	{name: "publish-wakes-fenced", fenced: true, victim: publisher(biasedAt(0, 64), callPublish), begin: (*scene).sleepDeep, attempts: 1},
	{name: "publish-detaches-laggard", setup: func(s *scene) { s.attach(laggardSlot, ring.Reliable, 80) },
		victim: publisher(func(v *victim) { v.bias(); v.publish(30, minMessage); v.advance(9 << 10); v.ready(900) }, callPublish), attempts: 1},
	{name: "trypublish-biased", victim: publisher(biasedAt(0, 64), callTryPublish), attempts: 1, verify: biasedToVictim},
	{name: "trypublish-first", victim: publisher(prepared(64), callTryPublish), attempts: 1},
	{name: "trypublish-full", setup: func(s *scene) { s.fullBut(600) }, victim: publisher(prepared(700), callTryPublish), attempts: 0},
	{name: "publish-waits", setup: func(s *scene) { s.fullBut(600) }, oneProcessor: true, victim: publisher(prepared(700), callPublish), acts: []func(*scene){drained}, attempts: 1},
	{name: "publish-waits-for-ever", setup: func(s *scene) { s.fullBut(600) }, victim: publisher(prepared(700), callPublish), attempts: 1},
	{name: "batch-biased", start: 8 << 10, victim: publisher(func(v *victim) {
		v.bias()
		v.advance(16<<10 - 256)
		v.readyBatch(64, 10, 300, 40, 64)
	}, callBatch), attempts: 5, begin: (*scene).sleepDeep, verify: biasedToVictim},
	{name: "batch-first", victim: publisher(func(v *victim) { v.readyBatch(64, 700, 10) }, callBatch), attempts: 3},
	{name: "batch-waits", oneProcessor: true, setup: func(s *scene) { s.fullBut(900) }, victim: publisher(func(v *victim) { v.readyBatch(300, 300, 300) }, callBatch), acts: []func(*scene){drained}, attempts: 3},
	{name: "catch-up", setup: func(s *scene) {
		p := s.producer(otherSlot)
		s.bias(p, otherSlot)
		s.publish(p, otherSlot, 5, 20) // the tail is not stored
		s.must(s.host.RemovePublisher(otherSlot, s.generation))
	}, victim: publisher(prepared(64), callPublish), attempts: 1},
}

// standing is an owner that makes a call while it owns the bias.
func standing(call func(v *victim), n int) *part {
	return &part{"publisher", biasedAt(7<<10-64, n), call}
}

// contending is a publisher that is not alone.
var contending = []*scenario{
	{name: "revoke", setup: survivorBiased, victim: publisher(prepared(64), callPublish), attempts: 1, verify: revoked},
	{name: "revoke-fenced", fenced: true, setup: survivorBiased, victim: publisher(prepared(64), callPublish), attempts: 1, verify: revoked},
	{name: "revoke-batch", setup: survivorBiased, victim: publisher(func(v *victim) { v.readyBatch(100, 200) }, callBatch), attempts: 2, verify: revoked},
	{name: "bias-was-revoked", victim: publisher(func(v *victim) { v.bias(); v.publish(3, 20); v.ready(64) }, callPublish), begin: func(s *scene) {
		s.publish(s.survivor, survivorSlot, 2, 30)
		s.bias(s.survivor, survivorSlot)
	}, attempts: 1, verify: revoked},
	// The owner of the bias stands inside: the contender, with the mutex,
	// waits for it, and dies at every step of its waiting.
	{name: "contender-waits", oneProcessor: true, owner: standing(callPublish, 64), ownerDepth: 20, patience: 3,
		victim: publisher(prepared(64), callPublish), acts: []func(*scene){(*scene).resumeOwner}, attempts: 1, verify: revoked},
	{name: "contender-sleeps", oneProcessor: true, owner: standing(callPublish, 64), ownerDepth: 20, patience: 24, skip: 18,
		victim: publisher(prepared(64), callPublish), acts: []func(*scene){(*scene).resumeOwner}, attempts: 1, verify: revoked},
	{name: "contender-spins", owner: standing(callPublish, 64), ownerDepth: 40, patience: 1,
		victim: publisher(prepared(64), callPublish), acts: []func(*scene){(*scene).resumeOwner}, attempts: 1, verify: revoked},
	{name: "contender-and-owner-die", oneProcessor: true, owner: standing(callPublish, 64), ownerDepth: 60, ownerDies: true, patience: 3,
		victim: publisher(prepared(64), callPublish), acts: []func(*scene){(*scene).resumeOwner}, attempts: 1},
	// Another holds the mutex.
	{name: "mutex-held", oneProcessor: true, owner: &part{"publisher", prepared(64), callPublish}, ownerDepth: 30,
		victim: publisher(prepared(64), callPublish), acts: []func(*scene){(*scene).resumeOwner}, attempts: 1},
	{name: "mutex-held-spins", owner: &part{"publisher", prepared(64), callPublish}, ownerDepth: 30,
		victim: publisher(prepared(64), callPublish), acts: []func(*scene){(*scene).resumeOwner}, attempts: 1},
	{name: "mutex-held-by-the-dead", oneProcessor: true, owner: &part{"publisher", prepared(64), callPublish}, ownerDepth: 90, ownerDies: true,
		victim: publisher(prepared(64), callPublish), acts: []func(*scene){(*scene).killOwner}, attempts: 1},
	// Two deaths in a row: one inside, in the middle of a PAD, then one who
	// catches up behind it.
	{name: "second-death", start: 8 << 10, owner: &part{"publisher", biasedAt(8<<10-96, 200), callPublish}, ownerDepth: 130, ownerStands: (*scene).killOwner,
		victim: publisher(prepared(64), callPublish), attempts: 1},
	{name: "second-death-fenced", fenced: true, start: 8 << 10, owner: &part{"publisher", biasedAt(8<<10-96, 200), callPublish}, ownerDepth: 100, ownerStands: (*scene).killOwner,
		victim: publisher(prepared(64), callPublish), attempts: 1},
}
