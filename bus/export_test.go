package bus

// Sleeps returns how often the subscriber went to sleep, as others see it: it
// may be called while the subscriber sleeps.
func (s *Subscriber) Sleeps() uint64 {
	for _, i := range s.c.grant.Ring.Subscribers() {
		if i.Slot == s.c.grant.Slot && i.Guest == s.c.grant.Guest {
			return i.Parks
		}
	}
	return 0
}

// Inside reports whether a call of the publisher is being made.
func (p *Publisher) Inside() bool {
	return p.c.state.Load() == inside // sync(bus.guard): a test looks, pairs with enter
}

// Inside reports whether a call of the subscriber is being made.
func (s *Subscriber) Inside() bool {
	return s.c.state.Load() == inside // sync(bus.guard): a test looks, pairs with enter
}

// Orphan aborts the claim as the host does of one whose publisher it takes for
// dead: in the ring, behind the publisher's back.
func (c *Claim) Orphan() error {
	behind := c.claim
	return behind.Abort()
}

// HoldTurn takes the turn and makes way for nobody, until release is called.
func (s *SharedPublisher) HoldTurn() (release func()) {
	s.turn <- struct{}{}
	return s.unlock
}

// Urgent returns how many calls that do not wait for space wait for their turn.
func (s *SharedPublisher) Urgent() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.urgent
}
