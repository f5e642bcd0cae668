package control

import (
	"os"
	"sync"
)

// maxClosers is how many may hang at once. Each holds a thread while it does.
const maxClosers = 64

// closers close what somebody else has sent, and connections in which something of his
// may lie unread. That may take as long as he likes: a TCP socket lingers, a file system
// of his own flushes. So nobody waits for these goroutines, not even who closes the host.
//
// Safe for concurrent use. The zero value is useful.
type closers struct {
	mu      sync.Mutex
	queue   []func()
	running int
}

// close has f called, which closes something. It does not block.
func (c *closers) close(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.queue = append(c.queue, f)
	if c.running < maxClosers {
		c.running++
		go c.run()
	}
}

func (c *closers) closeFiles(files []*os.File) {
	for _, f := range files {
		c.close(func() { f.Close() })
	}
}

func (c *closers) run() {
	for {
		c.mu.Lock()
		if len(c.queue) == 0 {
			c.running--
			c.mu.Unlock()
			return
		}
		f := c.queue[0]
		c.queue = c.queue[1:]
		c.mu.Unlock()
		f()
	}
}
