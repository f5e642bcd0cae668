package control

import (
	"context"
	"time"
)

// disowned are the requests for a slot that were given up, the releases that
// were not waited for, and those of slots that came all the same, until the host
// has answered. Until then a name that was asked for may still be taken, by
// ourselves. The client's mutex guards it.
type disowned struct {
	ids  map[uint64]bool // whether the host knows that nobody waits
	none chan struct{}   // closed when ids is empty; nil while it always was
}

func (d *disowned) add(id uint64) {
	if len(d.ids) == 0 {
		d.ids, d.none = map[uint64]bool{}, make(chan struct{})
	}
	d.ids[id] = false
}

func (d *disowned) told(id uint64) {
	if _, ok := d.ids[id]; ok {
		d.ids[id] = true
	}
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

// untold are the requests that the host may still think somebody waits for: one
// in line for a topic would stay there.
func (d *disowned) untold() (ids []uint64) {
	for id, told := range d.ids {
		if !told {
			ids = append(ids, id)
		}
	}
	return ids
}

// awaitDisowned waits until nothing is disowned, or ctx ends, or the host takes
// so long that asking it is the way to find out why. It reports whether something
// still is disowned.
func (c *Client) awaitDisowned(ctx context.Context) bool {
	c.mu.Lock()
	none, l, untold := c.disowned.none, c.link, c.disowned.untold()
	c.mu.Unlock()
	if none == nil {
		return false
	}
	patience := time.NewTimer(releaseGrace)
	defer patience.Stop()
	for _, id := range untold {
		if l != nil && ctx.Err() == nil {
			c.sendCancel(l, id, time.Now().Add(releaseGrace))
		}
	}
	select {
	case <-none:
		return false
	case <-ctx.Done():
	case <-c.ctx.Done():
	case <-patience.C:
	}
	return true
}
