package ring

// deaths are the points at which a publisher stops. Each says what it had
// committed by then.
var deaths = []struct {
	name string
	die  func(w *wreck)
}{
	{"outside", func(*wreck) {}},
	{"about to look at the bias", func(w *wreck) { w.victim.block.active.Set(w.victim.generation) }},
	{"inside, nothing written", func(w *wreck) { w.enter() }},
	{"header behind zeroed", func(w *wreck) {
		w.enter()
		_, _, err := w.victim.place(100)
		w.must(err)
	}},
	{"record written, not committed", func(w *wreck) {
		w.enter()
		_, _, err := w.victim.write(w.payload(100), 0, 0)
		w.must(err)
	}},
	{"PAD committed, no record", func(w *wreck) {
		w.enter()
		most := uint64(w.victim.max)
		position := w.victim.tail
		if position&w.ring.mask+extentOf(most) > w.ring.capacity {
			end := position - position%w.ring.capacity + w.ring.capacity
			w.must(w.victim.makeRoom(end, end+extentOf(most)+recordHeader))
			w.victim.pad(end)
		}
	}},
	{"committed, tail not stored", func(w *wreck) {
		w.enter()
		w.commit(100)
	}},
	{"several committed, sequence stored, tail not", func(w *wreck) {
		w.enter()
		w.commit(0)
		w.commit(200)
		w.ring.log.sequence.Store(w.victim.sequence)
	}},
	{"committed, tail stored, not left", func(w *wreck) {
		w.enter()
		w.commit(10)
		w.victim.storeTail()
	}},
	{"half a batch committed", func(w *wreck) {
		w.enter()
		w.commit(10)
		w.commit(20)
		_, _, err := w.victim.write(w.payload(300), 0, 0)
		w.must(err)
	}},
	{"claim not BUSY yet", func(w *wreck) {
		w.enter()
		position, rec, err := w.victim.place(50)
		w.must(err)
		_ = position
		rec.sequence.Set(w.victim.sequence)
		rec.meta.Set(packMeta(0, w.victim.slot))
		w.ring.log.busyEnd.Store(w.victim.tail)
	}},
	{"claims open", func(w *wreck) {
		for range 3 {
			_, err := w.victim.TryClaim(60, 0, 0)
			w.must(err)
		}
	}},
	{"claims open, one committed, others between", func(w *wreck) {
		_, err := w.victim.TryClaim(60, 0, 0)
		w.must(err)
		w.publish(w.survivor, 30)
		c, err := w.victim.TryClaim(70, 0, 0)
		w.must(err)
		b := w.payload(70)
		copy(c.Bytes(), b)
		w.must(c.Commit())
		w.want = append(w.want, b)
		_, err = w.victim.TryClaim(80, 0, 0)
		w.must(err)
		w.publish(w.survivor, 30)
	}},
	{"claim open, inside again", func(w *wreck) {
		_, err := w.victim.TryClaim(60, 0, 0)
		w.must(err)
		w.enter()
		w.commit(40)
	}},
	{"holding the mutex", func(w *wreck) { w.must(w.victim.lock(w.t.Context())) }},
	{"holding the mutex, the last waiter gone", func(w *wreck) {
		w.must(w.victim.lock(w.t.Context()))
		w.ring.log.mutex.CompareAndSwap(w.victim.identity, w.victim.identity|lockWaiters)
	}},
	{"revoking", func(w *wreck) {
		w.must(w.victim.lock(w.t.Context()))
		if w.ring.log.bias.Load() == w.survivor.owned {
			w.ring.log.bias.Store(biasRevoking | uint64(w.survivor.identity))
		}
	}},
	{"biased, mutex not released", func(w *wreck) {
		w.must(w.victim.enterSlow(w.t.Context()))
		w.commit(90)
		w.victim.storeTail()
		w.ring.log.bias.Store(w.victim.owned)
	}},
	{"mutex released, nobody woken", func(w *wreck) {
		w.must(w.victim.enterSlow(w.t.Context()))
		w.commit(90)
		w.victim.storeTail()
		w.ring.log.mutex.Swap(0)
	}},
	{"committed, nobody woken", func(w *wreck) {
		w.enter()
		w.commit(33)
		w.victim.leave()
	}},
}
