package underlay

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// LocalAddrs lists the unicast addresses of the interfaces that are up,
// without link-local ones (peers could not name the interface) and, unless
// Loopback is set or nothing else exists, without loopback ones.
func (u *UDP) LocalAddrs() ([]netip.Addr, error) {
	ifaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("underlay: cannot list interfaces: %w", err)
	}
	var global, loop []netip.Addr
	for i := range ifaces {
		if ifaces[i].Flags&net.FlagUp == 0 {
			continue
		}
		for _, a := range addrsOf(&ifaces[i]) {
			switch {
			case a.IsLoopback():
				loop = append(loop, a)
			case a.IsGlobalUnicast():
				global = append(global, a)
			}
		}
	}
	if u.Loopback || len(global) == 0 {
		global = append(global, loop...)
	}
	return global, nil
}

// addrsOf is nil for an interface that vanished meanwhile.
func addrsOf(ifc *net.Interface) []netip.Addr {
	list, _ := ifc.Addrs()
	var addrs []netip.Addr
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				addrs = append(addrs, ip.Unmap())
			}
		}
	}
	return addrs
}

// payloadMTU is the UDP payload that fits the interface holding addr, asked
// again when a second old.
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

// findMTU is 0 when no interface holds addr.
func findMTU(addr netip.Addr) int {
	if addr.IsUnspecified() {
		return 0
	}
	ifaces, err := net.Interfaces()
	if err != nil {
		return 0
	}
	for i := range ifaces {
		for _, a := range addrsOf(&ifaces[i]) {
			if a == addr.WithZone("") || addr.IsLoopback() && a.IsLoopback() && a.Is4() == addr.Is4() {
				return min(ifaces[i].MTU-headers(addr), MaxPayload)
			}
		}
	}
	return 0
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
}

type source struct {
	addr    netip.Addr
	expires time.Time
}

// SourceFor asks the routing table, by connecting a UDP socket, which sends
// nothing. An answer may be up to a second old.
func (u *UDP) SourceFor(dst netip.Addr) (netip.Addr, error) {
	dst = dst.Unmap()
	now := time.Now()
	s := &u.sources
	s.mu.Lock()
	hit, ok := s.cache[dst]
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
