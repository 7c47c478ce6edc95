package forward

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"

	"github.com/serval-net/serval/servald/internal/outbound"
	"github.com/serval-net/serval/servald/internal/relay"
)

// maxMirrors is how many ports besides the first one all clients together, and each,
// may be answered from. Each is a socket.
const (
	maxMirrors       = 1024
	maxClientMirrors = 16
)

// Flows returns how many clients of UDP there are.
func (s *Server) Flows() int {
	if p := s.udp.Load(); p != nil {
		return p.table.Len()
	}
	return 0
}

// packets forwards datagrams that come to one socket.
type packets struct {
	s      *Server
	socket *net.UDPConn
	port   uint16 // of the service that the socket stands for
	table  relay.Table[netip.AddrPort, netip.Addr]
	wg     sync.WaitGroup

	mu      sync.Mutex
	mirrors map[netip.AddrPort]mirrors // by client
	count   int                        // of all mirrors
	closed  bool
}

// mirrors are the ports of the service, other than the first one, as one client sees
// them: sockets of their own, which the client can answer.
type mirrors map[uint16]*net.UDPConn

// ServePacket serves datagrams that come to conn, which it closes, until ctx is done.
// It returns the error when conn fails for another reason. When it returns, nothing that
// it started runs any more. An answer from another port of the service than was asked
// comes from another port of this host.
func (s *Server) ServePacket(ctx context.Context, conn *net.UDPConn) error {
	p := &packets{s: s, socket: conn, port: s.Port, mirrors: make(map[netip.AddrPort]mirrors)}
	if p.port == 0 {
		p.port = conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	}
	p.table.Open = func(ctx context.Context, client netip.AddrPort, _ netip.Addr, port uint16) (outbound.Datagrams, error) {
		ctx, cancel := s.dialling(ctx)
		defer cancel()
		return s.Outbound.Datagrams(ctx, outbound.Client{Via: "forward", Addr: client}, s.Service, port)
	}
	p.table.Deliver, p.table.Ended, p.table.Max, p.table.Idle = p.deliver, p.ended, s.Max, s.UDPIdle
	if p.table.Log = s.Log; s.Log == nil {
		p.table.Log = slog.Default()
	}
	s.udp.Store(p)
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	err := p.read(conn, p.port, netip.AddrPort{})
	conn.Close()
	p.table.Close()
	p.close()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// read sends on what comes to a socket for a port of the service: what one client
// writes, if only is valid.
func (p *packets) read(conn *net.UDPConn, port uint16, only netip.AddrPort) error {
	return relay.Receive(conn, func(b []byte, from netip.AddrPort) {
		if only.IsValid() && from != only || !p.admits(from.Addr()) {
			return
		}
		p.table.Send(from, from.Addr(), b, port)
	})
}

func (p *packets) admits(a netip.Addr) bool {
	return len(p.s.Clients) == 0 || slices.ContainsFunc(p.s.Clients, func(c netip.Prefix) bool { return c.Contains(a.WithZone("")) })
}

// deliver passes an answer to its client.
func (p *packets) deliver(client netip.AddrPort, b []byte, port uint16) {
	if conn := p.socketOf(client, port); conn != nil {
		conn.WriteToUDPAddrPort(b, client)
	}
}

// socketOf returns the socket that stands for a port of the service, nil if there is no
// room for one more.
func (p *packets) socketOf(client netip.AddrPort, port uint16) *net.UDPConn {
	if port == p.port {
		return p.socket
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	mine := p.mirrors[client]
	if conn := mine[port]; conn != nil {
		return conn
	}
	if p.closed || p.count >= maxMirrors || len(mine) >= maxClientMirrors {
		return nil
	}
	at := p.socket.LocalAddr().(*net.UDPAddr)
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: at.IP, Zone: at.Zone})
	if err != nil {
		p.table.Log.Warn("no socket for another port of a service", "service", p.s.Service, "port", port, "err", err)
		return nil
	}
	if mine == nil {
		mine = make(mirrors)
		p.mirrors[client] = mine
	}
	mine[port] = conn
	p.count++
	p.wg.Go(func() { p.read(conn, port, client) })
	return conn
}

// ended forgets a client.
func (p *packets) ended(client netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range p.mirrors[client] {
		conn.Close()
		p.count--
	}
	delete(p.mirrors, client)
}

// close ends all mirrors and waits for them.
func (p *packets) close() {
	p.mu.Lock()
	p.closed = true
	for _, mine := range p.mirrors {
		for _, conn := range mine {
			conn.Close()
		}
	}
	p.mu.Unlock()
	p.wg.Wait()
}
