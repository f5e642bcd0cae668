package control

import "fmt"

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
	free := h.maxMemory - min(h.maxMemory, used)
	if n > free {
		return fmt.Errorf("%w: topic %q needs %d bytes, %d are available (limit: the host's maximum of %d, of which %d are used)",
			ErrNoMemory, name, n, free, h.maxMemory, used)
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
