package peer

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/serval-net/serval/interop/failover/traffic"
)

// movingQuic is quic-go with a client that migrates as an application must do it
// with quic-go: a second path is probed in time, over each other address of the
// host, and switched to when the address in use goes (told by netlink) or when
// nothing has moved for stuckAfter. Servers cannot migrate with quic-go.
type movingQuic struct {
	watching sync.Once

	mu    sync.Mutex
	bound map[netip.Addr]*quic.Transport // one socket per local address
	conns []*movingConn                  // the client's
}

// stuckAfter is how long reads or writes may hang before another path is tried.
const stuckAfter = 200 * time.Millisecond

func (m *movingQuic) Listen(addr netip.AddrPort) (net.Listener, []netip.AddrPort, error) {
	socket, err := net.ListenPacket("udp", wildcard(addr))
	if err != nil {
		return nil, nil, err
	}
	l, err := quic.Listen(socket, mutual(), quicConfig())
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ql := &quicListener{Listener: l, ready: make(chan net.Conn), ctx: ctx, cancel: cancel}
	go ql.accept()
	return ql, []netip.AddrPort{addr}, nil
}

func (m *movingQuic) Dial(ctx context.Context, addrs []netip.AddrPort) (net.Conn, error) {
	local, err := sourceFor(addrs[0])
	if err != nil {
		return nil, err
	}
	transport, err := m.transport(local)
	if err != nil {
		return nil, err
	}
	conn, err := transport.Dial(ctx, net.UDPAddrFromAddrPort(addrs[0]), mutual(), quicConfig())
	if err != nil {
		return nil, err
	}
	stream, err := conn.OpenStreamSync(ctx)
	if err != nil {
		return nil, err
	}
	moving := &movingConn{
		quicConn: quicConn{stream, conn}, of: m, active: local, family: addrs[0].Addr().Is4(),
		paths: map[netip.Addr]*quic.Path{},
	}
	m.mu.Lock()
	m.conns = append(m.conns, moving)
	m.mu.Unlock()
	m.watching.Do(func() { go m.watch() })
	moving.refresh(usable())
	return moving, nil
}

// transport returns the socket of a local address.
func (m *movingQuic) transport(local netip.Addr) (*quic.Transport, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.bound[local]; t != nil {
		return t, nil
	}
	socket, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, 0)))
	if err != nil {
		return nil, err
	}
	if m.bound == nil {
		m.bound = map[netip.Addr]*quic.Transport{}
	}
	m.bound[local] = &quic.Transport{Conn: tolerant{socket}}
	return m.bound[local], nil
}

// tolerant is a socket that takes an unreachable network for a lost packet:
// quic-go would end the connection, before there is time to migrate.
type tolerant struct{ *net.UDPConn }

func (t tolerant) WriteMsgUDP(b, oob []byte, addr *net.UDPAddr) (n, oobn int, err error) {
	n, oobn, err = t.UDPConn.WriteMsgUDP(b, oob, addr)
	for _, lost := range []error{unix.ENETUNREACH, unix.EHOSTUNREACH, unix.ENETDOWN, unix.EADDRNOTAVAIL, unix.EINVAL} {
		if errors.Is(err, lost) {
			return len(b), len(oob), nil
		}
	}
	return n, oobn, err
}

// sourceFor asks the routing table which local address would be used.
func sourceFor(addr netip.AddrPort) (netip.Addr, error) {
	probe, err := net.Dial("udp", addr.String())
	if err != nil {
		return netip.Addr{}, err
	}
	defer probe.Close()
	return probe.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
}

// watch moves connections when the address they use goes or nothing moves.
func (m *movingQuic) watch() {
	links, addrs := make(chan netlink.LinkUpdate, 64), make(chan netlink.AddrUpdate, 64)
	never := make(chan struct{})
	netlink.LinkSubscribe(links, never)
	netlink.AddrSubscribe(addrs, never)
	tick := time.NewTicker(10 * time.Millisecond)
	for {
		changed := true
		select {
		case <-links:
		case <-addrs:
		case <-tick.C:
			changed = false
		}
		m.mu.Lock()
		conns := m.conns
		m.mu.Unlock()
		var now map[netip.Addr]bool
		if changed {
			now = usable()
		}
		for _, c := range conns {
			if changed {
				c.refresh(now)
			} else if c.stuck() {
				c.leave(usable())
			}
		}
	}
}

// movingConn is the client's connection. Reads and writes only leave their marks
// for watch.
type movingConn struct {
	quicConn
	of       *movingQuic
	family   bool         // IPv4
	progress atomic.Int64 // when a read or write last began or ended
	waiting  atomic.Int32 // reads and writes under way

	mu        sync.Mutex
	active    netip.Addr
	paths     map[netip.Addr]*quic.Path // nil while it is probed
	switching time.Time
}

func (c *movingConn) Read(b []byte) (int, error)  { return c.timed(c.quicConn.Read, b) }
func (c *movingConn) Write(b []byte) (int, error) { return c.timed(c.quicConn.Write, b) }

// CloseWrite ends the stream that is sent.
func (c quicConn) CloseWrite() error { return c.Stream.Close() }

func (c *movingConn) timed(do func([]byte) (int, error), b []byte) (int, error) {
	if c.waiting.Add(1) == 1 {
		c.progress.Store(int64(traffic.Now()))
	}
	n, err := do(b)
	c.waiting.Add(-1)
	c.progress.Store(int64(traffic.Now()))
	return n, err
}

// stuck reports whether nothing has moved for too long.
func (c *movingConn) stuck() bool {
	if c.waiting.Load() == 0 || traffic.Now()-time.Duration(c.progress.Load()) < stuckAfter {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Since(c.switching) > 5*stuckAfter // or it would go back to the dead path
}

// refresh looks at the host's addresses: new ones are probed, and if the one in
// use is gone another one is used.
func (c *movingConn) refresh(usable map[netip.Addr]bool) {
	c.mu.Lock()
	for addr := range usable {
		if _, known := c.paths[addr]; !known && addr != c.active && addr.Is4() == c.family {
			c.paths[addr] = nil
			go c.probe(addr)
		}
	}
	gone := !usable[c.active]
	c.mu.Unlock()
	if gone {
		c.leave(usable)
	}
}

// probe makes a path over the address and validates it.
func (c *movingConn) probe(addr netip.Addr) {
	forget := func() {
		c.mu.Lock()
		delete(c.paths, addr)
		c.mu.Unlock()
	}
	transport, err := c.of.transport(addr)
	if err != nil {
		forget()
		return
	}
	path, err := c.conn.AddPath(transport)
	if err != nil {
		forget()
		return
	}
	ctx, cancel := context.WithTimeout(c.conn.Context(), 5*time.Second)
	defer cancel()
	if err := path.Probe(ctx); err != nil {
		path.Close()
		forget()
		return
	}
	c.mu.Lock()
	c.paths[addr] = path
	c.mu.Unlock()
	c.refresh(usable()) // the address in use may be gone
}

// switched notes the address in use. The one used so far may be without a path
// of its own, as the connection's first, and is probed like a new one.
func (c *movingConn) switched(to netip.Addr) {
	c.active, c.switching = to, time.Now()
	go func() { c.refresh(usable()) }()
}

// leave switches to another validated path whose address is there.
func (c *movingConn) leave(usable map[netip.Addr]bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for addr, path := range c.paths {
		if path == nil || addr == c.active || !usable[addr] {
			continue
		}
		if path.Switch() == nil {
			c.switched(addr)
			return
		}
	}
}

// Move switches to the path over the interface.
func (c *movingConn) Move(ctx context.Context, iface string) error {
	i, err := net.InterfaceByName(iface)
	if err != nil {
		return err
	}
	addrs, err := i.Addrs()
	if err != nil {
		return err
	}
	for {
		c.mu.Lock()
		for _, a := range addrs {
			addr, _ := netip.AddrFromSlice(a.(*net.IPNet).IP)
			addr = addr.Unmap()
			if addr == c.active {
				c.mu.Unlock()
				return nil
			}
			if path := c.paths[addr]; path != nil {
				err := path.Switch()
				if err == nil {
					c.switched(addr)
				}
				c.mu.Unlock()
				return err
			}
		}
		c.mu.Unlock()
		select {
		case <-ctx.Done():
			return fmt.Errorf("no validated path over %s: %w", iface, ctx.Err())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// usable lists the addresses of this host's running interfaces.
func usable() map[netip.Addr]bool {
	out := map[netip.Addr]bool{}
	ifaces, _ := net.Interfaces()
	for _, i := range ifaces {
		if i.Flags&net.FlagRunning == 0 || i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		addrs, _ := i.Addrs()
		for _, a := range addrs {
			addr, ok := netip.AddrFromSlice(a.(*net.IPNet).IP)
			addr = addr.Unmap()
			if ok && addr.IsGlobalUnicast() {
				out[addr] = true
			}
		}
	}
	return out
}
