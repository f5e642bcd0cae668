package control

import "fmt"

// memoryLimit is what the topics may have together. Guarded by the host's mutex.
type memoryLimit struct {
	most     uint64 // bytes
	guessed  bool   // nobody has said how much
	reserved uint64 // bytes of topics in the making
}

// memoryLimitOf is the limit that somebody has set, or for 0 half of what is
// available. What the topics of the host before have is not available any more: half
// of that is added as they come back, see countAdopted.
func memoryLimitOf(most uint64) memoryLimit {
	if most != 0 {
		return memoryLimit{most: most}
	}
	available, _, err := AvailableMemory()
	if err != nil {
		available = 1 << 62
	}
	return memoryLimit{most: available / 2, guessed: true}
}

// countAdopted notes the memory of a topic that has come back. mu is held.
func (h *host) countAdopted(t *topic) {
	t.adopted = t.bytes
	if h.guessed {
		h.most += uint64(t.bytes) / 2
	}
}

// roomForBlock checks that the block of a slot fits. What was there before this host
// does not count: it is there whether or not somebody attaches to it. mu is held.
func (h *host) roomForBlock() error {
	const block = 4096
	used := h.memory() + h.reserved
	for _, t := range h.topics {
		used -= min(used, uint64(min(t.adopted, t.bytes)))
	}
	if used+block > h.most {
		return fmt.Errorf("%w: a slot needs %d bytes, %d are available (limit: the host's maximum of %d)",
			ErrNoMemory, block, h.most-min(h.most, used), h.most)
	}
	return nil
}

// memory is what all topics have now. mu is held.
func (h *host) memory() uint64 {
	n := int64(0)
	for _, t := range h.topics {
		n += t.bytes
	}
	return uint64(n)
}

// reserve checks that a new topic fits: into the host's own limit, and into what
// the machine and the cgroup have.
func (h *host) reserve(name string, n uint64) error {
	available, limit, err := AvailableMemory()
	h.mu.Lock()
	defer h.mu.Unlock()
	used := h.memory() + h.reserved
	free := h.most - min(h.most, used)
	if n > free {
		return fmt.Errorf("%w: topic %q needs %d bytes, %d are available (limit: the host's maximum of %d, of which %d are used)",
			ErrNoMemory, name, n, free, h.most, used)
	}
	if err == nil && n+h.reserved > available {
		return fmt.Errorf("%w: topic %q needs %d bytes, %d are available (limit: %s)",
			ErrNoMemory, name, n, available-min(available, h.reserved), limit)
	}
	h.reserved += n
	return nil
}

// unreserve counts what the topic has in place of what was reserved.
func (h *host) unreserve(n uint64, t *topic) {
	log, all := int64(0), int64(0)
	if t.regions.log.rw != nil {
		log, all = t.measure()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reserved -= n
	t.logBytes, t.bytes = log, all
}
