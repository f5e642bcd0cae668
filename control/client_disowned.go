package control

import (
	"context"
	"time"
)

// disowned are the requests for a slot that were given up, and the releases of
// slots that came all the same, until the host has answered. Until then a name
// that was asked for may still be taken, by ourselves. The client's mutex guards
// it.
type disowned struct {
	ids  map[uint64]struct{}
	none chan struct{} // closed when ids is empty; nil while it always was
}

func (d *disowned) add(id uint64) {
	if len(d.ids) == 0 {
		d.ids, d.none = map[uint64]struct{}{}, make(chan struct{})
	}
	d.ids[id] = struct{}{}
}

func (d *disowned) remove(id uint64) {
	if _, ok := d.ids[id]; !ok {
		return
	}
	if delete(d.ids, id); len(d.ids) == 0 {
		close(d.none)
	}
}

func (d *disowned) clear() {
	if len(d.ids) > 0 {
		clear(d.ids)
		close(d.none)
	}
}

// awaitDisowned waits until nothing is disowned, or ctx ends, or the host takes
// so long that asking it is the way to find out why.
func (c *Client) awaitDisowned(ctx context.Context) {
	c.mu.Lock()
	none := c.disowned.none
	c.mu.Unlock()
	if none == nil {
		return
	}
	patience := time.NewTimer(releaseGrace)
	defer patience.Stop()
	select {
	case <-none:
	case <-ctx.Done():
	case <-c.ctx.Done():
	case <-patience.C:
	}
}
