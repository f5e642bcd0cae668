package ring

// Inside is who was in the ring at some moment: it holds the mutex, or is
// inside by its bias.
type Inside struct {
	Slot int // publisher slot, or Geometry.HostSlot
	Gen  uint32
	// Progress changes whenever the one inside gets anywhere, or leaves and
	// comes again having published. Two looks that find the same are of
	// somebody who stands still.
	Progress uint64
}

// Inside looks who is inside; false if nobody is. Read-only mappings suffice.
func (r *Ring) Inside() (Inside, bool) {
	h := r.log
	id := h.mutex.Load() & identityBits // sync(mutex): pairs with lock
	if id == 0 {
		id = uint32(h.bias.Load() & identityBits) // sync(bias): pairs with enterBiased
		slot := identitySlot(id)
		if slot < 0 || slot > r.geometry.HostSlot() || r.publisher(slot).active.Load() != identityGeneration(id) || r.Ended() { // sync(active): pairs with leave
			return Inside{}, false
		}
	}
	slot := identitySlot(id)
	if slot < 0 || slot > r.geometry.HostSlot() {
		return Inside{}, false
	}
	s := &r.publisher(slot).stats // sync(stats): pairs with count
	in := Inside{Slot: slot, Gen: identityGeneration(id)}
	for _, n := range []uint64{h.tail.Load(), h.busyEnd.Load(), h.claimed.Load(), s.published.Load(), s.contended.Load(), s.revocations.Load()} {
		in.Progress = in.Progress*31 + n
	}
	return in, true
}
