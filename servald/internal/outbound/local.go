package outbound

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// localFor is how long the addresses of the host are taken for what they were.
const localFor = 10 * time.Second

// localAddrs knows which addresses are this host's. The zero value is ready.
type localAddrs struct {
	mu    sync.Mutex
	known map[netip.Addr]bool
	until time.Time
}

// has reports whether an address is this host's, so that all its programs may have it.
func (l *localAddrs) has(a netip.Addr) bool {
	if a.IsLoopback() {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); now.After(l.until) {
		l.known, l.until = make(map[netip.Addr]bool), now.Add(localFor)
		all, _ := net.InterfaceAddrs()
		for _, addr := range all {
			if n, ok := addr.(*net.IPNet); ok {
				ip, _ := netip.AddrFromSlice(n.IP)
				l.known[ip.Unmap()] = true
			}
		}
	}
	return l.known[a]
}
