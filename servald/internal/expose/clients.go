package expose

import (
	"sync"

	"github.com/serval-net/serval/pkg/identity"
)

// perClient counts what each node has open. The zero value counts none.
type perClient struct {
	mu   sync.Mutex
	open map[identity.NodeID]int
}

// enter counts one more for a node, unless it has limit already; 0 is no limit.
// leave must be called once if it did.
func (c *perClient) enter(n identity.NodeID, limit int) (leave func(), ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if limit > 0 && c.open[n] >= limit {
		return nil, false
	}
	if c.open == nil {
		c.open = make(map[identity.NodeID]int)
	}
	c.open[n]++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.open[n]--; c.open[n] == 0 {
			delete(c.open, n)
		}
	}, true
}
