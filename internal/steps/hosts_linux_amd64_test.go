package steps

import (
	"context"

	"github.com/shmbus/shmbus/ring"
)

func host(prepare, call func(v *victim)) part { return part{"host", prepare, call} }

// attachSpec is the subscriber that a dying host attaches.
func attachSpec(gen uint32, kind ring.StartKind) ring.SubscriberSpec {
	return ring.SubscriberSpec{Slot: laggardSlot, Gen: gen, Member: 9, Name: "attached", Start: ring.Start{Kind: kind}}
}

const attachedGen = 77

func callAttach(kind ring.StartKind) func(v *victim) {
	return func(v *victim) {
		_, err := v.h.AddSubscriber(context.Background(), attachSpec(attachedGen, kind))
		must(err)
	}
}

// Slots that a host's call is about have generations that are the same each
// time, since the call knows them.
func attached(s *scene) {
	_, err := s.host.AddSubscriber(context.Background(), attachSpec(attachedGen, ring.StartLatest))
	s.must(err)
}

func detachAgain(s *scene) { s.host.RemoveSubscriber(laggardSlot, attachedGen, false) }

// removeOwner repeats the repair of the owner, who died inside.
func removeOwner(s *scene) { s.must(s.host.RemovePublisher(ownerSlot, s.ownerAt.gen)) }

// findOwner looks which generation the owner's slot has.
func findOwner(v *victim) {
	for _, p := range v.ring.Publishers() {
		if p.Slot == ownerSlot {
			v.gen = p.Gen
		}
	}
}

func callRemoveOwner(v *victim) { must(v.h.RemovePublisher(ownerSlot, v.gen)) }

// fallen is an owner that is dead, but not repaired, when the host begins.
func fallen(s *scene) { s.owner.kill() }

// hosting is a host that dies, and the next one.
var hosting = []*scenario{
	{name: "host-repairs-owner", owner: standing(callPublish, 64), ownerDepth: 50, ownerStands: fallen, ownerDies: true, victim: host(findOwner, callRemoveOwner), again: removeOwner},
	{name: "host-repairs-holder", owner: &part{"publisher", prepared(64), callPublish}, ownerDepth: 50, ownerStands: fallen, ownerDies: true, victim: host(findOwner, callRemoveOwner), again: removeOwner},
	{name: "host-aborts-claims", owner: &part{"publisher", func(v *victim) {
		v.claimNow(64)
		v.claimNow(10)
		v.ready(30)
	}, callPublish}, ownerDepth: 10, ownerStands: fallen, ownerDies: true, victim: host(findOwner, callRemoveOwner), again: removeOwner},
	{name: "host-attaches", setup: survivorBiased, victim: host(nil, callAttach(ring.StartLatest)), again: detachAgain},
	{name: "host-attaches-earliest", setup: survivorBiased, victim: host(nil, callAttach(ring.StartEarliest)), again: detachAgain},
	{name: "host-detaches", setup: attached, victim: host(nil, func(v *victim) { v.h.RemoveSubscriber(laggardSlot, attachedGen, false) }), again: detachAgain},
	{name: "host-takes-over", setup: survivorBiased, victim: host(func(v *victim) { v.h = v.ring.Host(0) }, func(v *victim) {
		_, err := v.h.TakeOver()
		must(err)
	}), again: func(*scene) {}},
}
