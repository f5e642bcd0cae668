package ring

import (
	"github.com/shmbus/shmbus/internal/failpoint"
	"github.com/shmbus/shmbus/shm"
)

// What a participant counts lies in the block of its slot, which is granted
// again to somebody else. Before that the host folds it into the totals of the
// ring, exactly once, also if it dies in the middle.
//
// There are two blocks of totals. The word folded says which of them is valid
// and whom it contains last:
//
//	bits 0..21   generation
//	bits 22..31  slot
//	bits 32..33  0 nobody yet, 1 publisher, 2 subscriber
//	bits 34..63  how often there was a fold; block number count mod 2 is valid
//
//	step                                             a host that dies behind it leaves
//	1  the other block = the valid one + the slot's  the slot granted, the totals as they were
//	2  folded = count + 1, with the slot             the slot granted, and in the totals: not again
//	3  the slot's bit in the bitmap is cleared       the slot free
//
// A host that finds a granted slot in the word knows that only step 3 is left.
// It is enough to know the last one, since step 3 comes before the next fold.
// A reader leaves that slot out of those that are present, and begins again
// when the word has changed meanwhile: so it counts everybody exactly once,
// and a total never goes back.
//
// Guests may write what they like into their blocks: their slots are freed, but
// nothing of theirs is added.
const (
	foldedPublisher  = 1
	foldedSubscriber = 2

	foldedBits  = 1<<foldedCount - 1
	foldedCount = 34
)

func foldedIdentity(role, slot int, generation uint32) uint64 {
	return uint64(role)<<32 | uint64(slot)<<22 | uint64(generation)
}

// totalsBlock returns one of the two blocks of totals.
func (r *Ring) totalsBlock(n uint64) *totalsBlock {
	off, _ := r.geometry.Totals()
	return shm.Overlay[totalsBlock](r.cursorBytes, int(off)+int(n&1)*blockSize)
}

// Totals are the counts of a topic: of those that are here and those that have
// left, guests excepted. They never go back.
type Totals struct {
	Publishers  PublisherCounters // with what the host did in the lock
	Subscribers SubscriberCounters
	Repairs     uint64 // publishers that died in the lock or with open claims
	Orphans     uint64 // their claims, which the host aborted
}

func (t *Totals) addPublisher(b *publisherBlock) { t.Publishers.add(&b.stats) }

func (t *Totals) addSubscriber(b *subscriberBlock) { t.Subscribers.add(&b.stats, &b.buckets) }

// free folds a slot, unless that was done, and then frees it. grants.mu is
// held.
func (h *Host) free(identity uint64, add func(*Totals), free func()) {
	word := h.r.cursors.folded.Load() // sync(folded): our own; pairs with Statistics
	if word&foldedBits != identity {
		count := word>>foldedCount + 1
		var t Totals
		h.r.totalsBlock(word >> foldedCount).read(&t)
		add(&t)
		h.r.totalsBlock(count).write(&t)
		failpoint.Hit("ring.fold")
		h.r.cursors.folded.Store(count<<foldedCount | identity) // sync(folded): behind the block; pairs with Statistics
		failpoint.Hit("ring.folded")
	}
	free()
}

// read adds what the block holds to t.
func (b *totalsBlock) read(t *Totals) {
	t.Publishers.add(&b.publishers)
	t.Subscribers.add(&b.subscribers, &b.buckets)
	t.Repairs += b.repairs.Load()
	t.Orphans += b.orphans.Load()
}

// write stores t.
func (b *totalsBlock) write(t *Totals) {
	p, s := &b.publishers, &b.subscribers
	p.published.Set(t.Publishers.Published)
	p.bytes.Set(t.Publishers.Bytes)
	p.refused.Set(t.Publishers.Refused)
	p.dropped.Set(t.Publishers.Dropped)
	p.aborted.Set(t.Publishers.Aborted)
	p.blockedNanos.Set(t.Publishers.BlockedNanos)
	p.revocations.Set(t.Publishers.Revocations)
	p.contended.Set(t.Publishers.Contended)
	p.batches.Set(t.Publishers.Batches)
	p.wakes.Set(t.Publishers.Wakes)
	p.stalls.Set(t.Publishers.Stalls)
	s.delivered.Set(t.Subscribers.Delivered)
	s.bytes.Set(t.Subscribers.Bytes)
	s.lostPolling.Set(t.Subscribers.LostPolling)
	s.lostReading.Set(t.Subscribers.LostReading)
	s.aborted.Set(t.Subscribers.AbortedSeen)
	s.wakeUps.Set(t.Subscribers.WakeUps)
	s.parks.Set(t.Subscribers.Parks)
	s.spins.Set(t.Subscribers.Spins)
	s.latency.Set(t.Subscribers.Latency.SumNanos)
	for k := range b.buckets {
		b.buckets[k].Set(t.Subscribers.Latency.Buckets[k])
	}
	b.repairs.Set(t.Repairs)
	b.orphans.Set(t.Orphans)
}

// add adds the words of a publisher's statistics.
func (c *PublisherCounters) add(s *publisherStats) {
	c.Published += s.published.Load()
	c.Bytes += s.bytes.Load()
	c.Refused += s.refused.Load()
	c.Dropped += s.dropped.Load()
	c.Aborted += s.aborted.Load()
	c.BlockedNanos += s.blockedNanos.Load()
	c.Revocations += s.revocations.Load()
	c.Contended += s.contended.Load()
	c.Batches += s.batches.Load()
	c.Wakes += s.wakes.Load()
	c.Stalls += s.stalls.Load()
}

// add adds the words of a subscriber's statistics.
func (c *SubscriberCounters) add(s *subscriberStats, buckets *[bucketCount]shm.Word64) {
	c.Delivered += s.delivered.Load()
	c.Bytes += s.bytes.Load()
	c.LostPolling += s.lostPolling.Load()
	c.LostReading += s.lostReading.Load()
	c.AbortedSeen += s.aborted.Load()
	c.WakeUps += s.wakeUps.Load()
	c.Parks += s.parks.Load()
	c.Spins += s.spins.Load()
	c.Latency.SumNanos += s.latency.Load()
	for k := range buckets {
		c.Latency.Buckets[k] += buckets[k].Load()
	}
}

// Add adds what another has counted.
func (c *PublisherCounters) Add(o *PublisherCounters) {
	c.Published += o.Published
	c.Bytes += o.Bytes
	c.Refused += o.Refused
	c.Dropped += o.Dropped
	c.Aborted += o.Aborted
	c.BlockedNanos += o.BlockedNanos
	c.Revocations += o.Revocations
	c.Contended += o.Contended
	c.Batches += o.Batches
	c.Wakes += o.Wakes
	c.Stalls += o.Stalls
}

// Add adds what another has counted.
func (c *SubscriberCounters) Add(o *SubscriberCounters) {
	c.Delivered += o.Delivered
	c.Bytes += o.Bytes
	c.LostPolling += o.LostPolling
	c.LostReading += o.LostReading
	c.AbortedSeen += o.AbortedSeen
	c.WakeUps += o.WakeUps
	c.Parks += o.Parks
	c.Spins += o.Spins
	c.Latency.Add(&o.Latency)
}
