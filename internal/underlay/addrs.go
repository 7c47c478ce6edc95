package underlay

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// LocalAddrs lists the unicast addresses of the interfaces that are running,
// without link-local ones (peers could not name the interface) and, unless
// Loopback is set or nothing else exists, without loopback ones.
func (u *UDP) LocalAddrs() ([]netip.Addr, error) {
	ifaces, err := u.Interfaces()
	if err != nil {
		return nil, err
	}
	var global, loop []netip.Addr
	for _, ifc := range ifaces {
		if !ifc.Running {
			continue
		}
		for _, a := range ifc.Addrs {
			if a.IsLoopback() {
				loop = append(loop, a)
			} else {
				global = append(global, a)
			}
		}
	}
	if u.Loopback || len(global) == 0 {
		global = append(global, loop...)
	}
	return global, nil
}

// payloadMTU is the UDP payload that fits the interface holding addr, asked
// again when a second old, or forgotten.
type payloadMTU struct {
	addr    netip.Addr
	bytes   atomic.Int64
	expires atomic.Int64 // on clock
}

const mtuTTL = time.Second

func (m *payloadMTU) init(addr netip.Addr) {
	m.addr = addr
	m.get()
}

func (m *payloadMTU) get() int {
	now, old := int64(clock()), m.expires.Load()
	if now >= old && m.expires.CompareAndSwap(old, now+int64(mtuTTL)) {
		if n := findMTU(m.addr); n > 0 { // an interface that is away keeps its MTU
			m.bytes.Store(int64(n))
		}
	}
	return int(m.bytes.Load())
}

// forget has the MTU asked for again.
func (m *payloadMTU) forget() { m.expires.Store(0) }

// findMTU is 0 when no interface holds addr.
func findMTU(addr netip.Addr) int {
	ifaces, err := interfaces()
	if err != nil {
		return 0
	}
	if ifc := holder(ifaces, addr); ifc != nil {
		return min(ifc.MTU-headers(addr), MaxPayload)
	}
	return 0
}

// holder is the interface that holds addr, or nil.
func holder(ifaces []Interface, addr netip.Addr) *Interface {
	for i := range ifaces {
		for _, a := range ifaces[i].Addrs {
			if a == addr || addr.IsLoopback() && a.IsLoopback() && a.Is4() == addr.Is4() {
				return &ifaces[i]
			}
		}
	}
	return nil
}

// headers is the size of the IP and UDP headers.
func headers(addr netip.Addr) int {
	if addr.Is4() {
		return 20 + 8
	}
	return 40 + 8
}

const (
	sourceTTL = time.Second // how long a route answer is believed
	maxSource = 1024        // destinations remembered
)

// sources remembers SourceFor's answers, as each costs three system calls.
type sources struct {
	mu    sync.Mutex
	cache map[netip.Addr]source
	seen  int // changes of routes
}

type source struct {
	addr    netip.Addr
	expires time.Time
}

func (s *sources) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen++
	clear(s.cache)
}

// SourceFor asks the routing table, by connecting a UDP socket, which sends
// nothing. Unless watched, an answer may be up to a second old.
func (u *UDP) SourceFor(dst netip.Addr) (netip.Addr, error) {
	dst = dst.Unmap()
	now := time.Now()
	s := &u.sources
	s.mu.Lock()
	hit, ok := s.cache[dst]
	seen := s.seen
	s.mu.Unlock()
	if ok && now.Before(hit.expires) {
		return hit.addr, nil
	}
	c, err := net.DialUDP(family(dst), nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(dst, 9)))
	if err != nil {
		return netip.Addr{}, fmt.Errorf("underlay: no route to %v: %w", dst, err)
	}
	defer c.Close()
	addr := localAddr(c).Addr()
	s.mu.Lock()
	defer s.mu.Unlock()
	if seen != s.seen {
		return addr, nil // perhaps of before the change
	}
	if s.cache == nil || len(s.cache) >= maxSource {
		s.cache = make(map[netip.Addr]source)
	}
	s.cache[dst] = source{addr, now.Add(sourceTTL)}
	return addr, nil
}

func localAddr(c *net.UDPConn) netip.AddrPort {
	a := c.LocalAddr().(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
