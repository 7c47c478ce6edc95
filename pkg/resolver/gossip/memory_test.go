package gossip

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// memory is a network for gossip that loses nothing and takes no time.
type memory struct {
	mu    sync.Mutex
	hosts map[string]*memoryHost
}

// memoryHost implements memberlist.NodeAwareTransport.
type memoryHost struct {
	net     *memory
	addr    netip.AddrPort
	packets chan *memberlist.Packet
	streams chan net.Conn
	quit    chan struct{}
	up      bool // else nothing comes in or goes out; guarded by net.mu
	apart   bool // it sees only those of whom the same is true; guarded by net.mu
}

func (m *memory) host() *memoryHost {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.hosts == nil {
		m.hosts = make(map[string]*memoryHost)
	}
	n := len(m.hosts) + 1
	h := &memoryHost{
		net:     m,
		addr:    netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}), 7946),
		packets: make(chan *memberlist.Packet, 1024),
		streams: make(chan net.Conn, 64),
		quit:    make(chan struct{}),
	}
	m.hosts[h.addr.String()] = h
	return h
}

// open is a Config's.
func (h *memoryHost) open(netip.AddrPort, netip.AddrPort, *memberlist.Config) (*transport, error) {
	h.set(true)
	return newTransport(h, h.dial), nil
}

// set puts the host on the network, or takes it off as a crash does.
func (h *memoryHost) set(up bool) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.up = up
}

// part cuts some hosts off from all others.
func (m *memory) part(off []*memoryHost) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, h := range m.hosts {
		h.apart = slices.Contains(off, h)
	}
}

func (h *memoryHost) peer(addr string) *memoryHost {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	peer := h.net.hosts[addr]
	if peer == nil || !h.up || !peer.up || h.apart != peer.apart {
		return nil
	}
	return peer
}

func (h *memoryHost) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	return h.addr.Addr().AsSlice(), int(h.addr.Port()), nil
}

func (h *memoryHost) WriteTo(b []byte, addr string) (time.Time, error) {
	now := time.Now()
	if peer := h.peer(addr); peer != nil {
		select {
		case peer.packets <- &memberlist.Packet{Buf: append([]byte(nil), b...), From: net.UDPAddrFromAddrPort(h.addr), Timestamp: now}:
		default: // its queue is full
		}
	}
	return now, nil
}

func (h *memoryHost) dial(ctx context.Context, addr string) (net.Conn, error) {
	peer := h.peer(addr)
	if peer == nil {
		return nil, fmt.Errorf("no host at %s", addr)
	}
	a, b := net.Pipe()
	select {
	case peer.streams <- memoryConn{b, h.addr}:
		return memoryConn{a, peer.addr}, nil
	case <-peer.quit:
	case <-ctx.Done():
	}
	return nil, errors.New("refused")
}

func (h *memoryHost) PacketCh() <-chan *memberlist.Packet { return h.packets }
func (h *memoryHost) StreamCh() <-chan net.Conn           { return h.streams }
func (h *memoryHost) Shutdown() error                     { h.set(false); close(h.quit); return nil }

func (h *memoryHost) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	return h.WriteTo(b, a.Addr)
}

func (h *memoryHost) DialTimeout(string, time.Duration) (net.Conn, error) {
	panic("the transport around it dials")
}

func (h *memoryHost) DialAddressTimeout(memberlist.Address, time.Duration) (net.Conn, error) {
	panic("the transport around it dials")
}

type memoryConn struct {
	net.Conn
	remote netip.AddrPort
}

func (c memoryConn) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(c.remote) }
