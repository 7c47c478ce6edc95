package dns

import (
	"net/netip"
	"sync"
)

// limits bounds what is done at a time, for all clients and for each.
type limits struct {
	all  int
	mu   sync.Mutex
	used int
	by   map[netip.Addr]int // clients that have something done
}

func (l *limits) init(all int) {
	l.all = max(all, 1)
	l.by = make(map[netip.Addr]int)
}

// acquire takes a place for a client; without one, nothing may be done. No client gets
// more than half of them, unless there is but one.
func (l *limits) acquire(client netip.Addr) bool {
	client = household(client)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.used >= l.all || l.by[client] >= (l.all+1)/2 {
		return false
	}
	l.used++
	l.by[client]++
	return true
}

func (l *limits) release(client netip.Addr) {
	client = household(client)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.used--
	if l.by[client]--; l.by[client] == 0 {
		delete(l.by, client)
	}
}

// household is what counts as one client: who has one IPv6 address has all of its /64.
func household(client netip.Addr) netip.Addr {
	client = client.Unmap().WithZone("")
	if client.Is6() {
		p, _ := client.Prefix(64)
		client = p.Addr()
	}
	return client
}
