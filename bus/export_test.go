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
