package serval

import (
	"net/netip"
	"sync"
	"time"
)

// suspicion is how long an address that did not answer is asked last.
const suspicion = 30 * time.Second

// health remembers which addresses left a SYN unanswered, so that a crashed
// instance costs one dial its timer and not the next one too. Gossip learns
// later; a SYN's outcome is the judge.
type health struct {
	mu   sync.Mutex
	dead map[netip.AddrPort]time.Time // until when
}

func (h *health) init() { h.dead = make(map[netip.AddrPort]time.Time) }

func (h *health) silent(a netip.AddrPort) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if len(h.dead) > 4096 {
		for k, until := range h.dead {
			if now.After(until) {
				delete(h.dead, k)
			}
		}
	}
	h.dead[a] = now.Add(suspicion)
}

func (h *health) answered(a netip.AddrPort) {
	h.mu.Lock()
	delete(h.dead, a)
	h.mu.Unlock()
}

func (h *health) suspect(a netip.AddrPort) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	until, ok := h.dead[a]
	return ok && time.Now().Before(until)
}
