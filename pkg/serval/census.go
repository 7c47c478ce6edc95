package serval

import (
	"sync"
	"time"
)

// census counts the handshakes that a listener has answered and that are not
// complete. Their diallers believe, or will in a moment, that they are
// connected, so a listener that ends waits for them. The zero value counts none.
type census struct {
	mu       sync.Mutex
	refusing bool
	open     int           // answered handshakes
	none     chan struct{} // not nil if someone waits for 0; closed then
}

// refuse lets no further handshake in, or does again.
func (c *census) refuse(yes bool) {
	c.mu.Lock()
	c.refusing = yes
	c.mu.Unlock()
}

func (c *census) refuses() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refusing
}

// enter counts a handshake, unless they are refused.
func (c *census) enter() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refusing {
		return false
	}
	c.open++
	return true
}

// leave ends what enter began.
func (c *census) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open--
	if c.open == 0 && c.none != nil {
		close(c.none)
		c.none = nil
	}
}

func (c *census) answered() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.open
}

// await waits until no handshake is under way, or for the time given.
func (c *census) await(limit time.Duration) {
	c.mu.Lock()
	if c.open == 0 {
		c.mu.Unlock()
		return
	}
	if c.none == nil {
		c.none = make(chan struct{})
	}
	none := c.none
	c.mu.Unlock()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-none:
	case <-timer.C:
	}
}
