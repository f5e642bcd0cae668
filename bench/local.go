//go:build linux

package bench

// call is a function call in the same goroutine: what a message costs that
// goes nowhere.
type call struct {
	buffer  []byte
	deliver func([]byte)
}

func attachCall(a *actor) (outlet, inlet, error) {
	c := &call{buffer: make([]byte, a.Cell.Size), deliver: a.checker.take}
	return c, c, nil
}

func (c *call) send(w *writer, n int) error {
	for range n {
		copy(c.buffer, w.next())
		c.deliver(c.buffer)
	}
	return nil
}

// receive finds that send has delivered.
func (c *call) receive(*checker, int) error { return nil }

// channel is a buffered Go channel. The buffers go round: there are more of
// them than the channel and both sides can hold.
type channel struct {
	messages chan []byte
	buffers  [][]byte
	next     int
}

const channelCapacity = 1024

func newChannel(size int) *channel {
	capacity := min(channelCapacity, max(capacityFor(size)/uint64(size), 2))
	c := &channel{messages: make(chan []byte, capacity)}
	for range capacity + 2 {
		c.buffers = append(c.buffers, make([]byte, size))
	}
	return c
}

func (c *channel) send(w *writer, n int) error {
	for range n {
		b := c.buffers[c.next]
		if c.next++; c.next == len(c.buffers) {
			c.next = 0
		}
		copy(b, w.next())
		c.messages <- b
	}
	return nil
}

func (c *channel) receive(k *checker, n int) error {
	for range n {
		if p := <-c.messages; !k.next(p) {
			k.take(p)
		}
	}
	return nil
}
