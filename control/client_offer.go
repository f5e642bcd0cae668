package control

import (
	"errors"
	"time"
)

// offerAgain is how long a client waits before it makes an offer again.
const offerAgain = time.Second

// repeatOffer goes on offering a slot to a host that had no descriptors or no memory for
// it, as long as the slot is held and the host is that of l: without a host nobody new
// can join the topic.
func (c *Client) repeatOffer(l *link, g *Grant, err error) {
	if !isShortage(err) {
		return
	}
	c.keeper.Go(func() {
		tick := time.NewTicker(offerAgain)
		defer tick.Stop()
		for isShortage(err) {
			select {
			case <-tick.C:
			case <-l.down:
				return // it is offered to the next one
			case <-c.ctx.Done():
				return
			}
			c.mu.Lock()
			_, held := c.grants[g]
			if !held || c.link != l {
				c.mu.Unlock()
				return
			}
			g.attachment.refs++ // its descriptors stay open for the offer
			c.mu.Unlock()
			err = c.offer(g)
			c.mu.Lock()
			_, held = c.grants[g]
			c.mu.Unlock()
			c.unref(g.attachment)
			if !held {
				c.tellRelease(g) // released meanwhile: say so again, after the offer
				return
			}
		}
		if errors.Is(err, ErrOrphaned) && g.id.Role == rolePublisher {
			c.orphan(g)
		}
		c.log.Info("offered again", "topic", g.Topic, "slot", g.Slot, "error", err)
	})
}

func isShortage(err error) bool {
	return errors.Is(err, ErrNoDescriptors) || errors.Is(err, ErrNoMemory)
}
