package socks

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/serval-net/serval/servald/internal/outbound"
	"github.com/serval-net/serval/servald/internal/relay"
)

// maxDestinations is how many hosts one association reaches at once.
const maxDestinations = 256

// association is the UDP of one client: a socket, and a flow for each host.
type association struct {
	socket *net.UDPConn
	table  relay.Table[string, struct{}] // by the host as the client writes it
	who    netip.Addr                    // the client's address

	mu   sync.Mutex
	from netip.AddrPort // where the client's datagrams come from; port 0 until one came
}

// errAssociations: too many clients have UDP.
var errAssociations = errors.New("too many clients have UDP at once; raise udp_max if this is not abuse")

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// associate relays datagrams for as long as the client keeps its connection open.
func (s *Server) associate(ctx context.Context, c outbound.Client, conn net.Conn, expect address) error {
	local, peer := loopback, loopback // for a Unix socket
	if a, ok := conn.LocalAddr().(*net.TCPAddr); ok {
		local, peer = a.AddrPort().Addr().Unmap(), c.Addr.Addr()
	}
	if !s.udp.Try(peer) {
		s.refuse(conn, GeneralFailure)
		return errAssociations
	}
	defer s.udp.Leave(peer)
	socket, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(local, 0)))
	if err != nil {
		s.refuse(conn, GeneralFailure)
		return err
	}
	a := &association{socket: socket, who: peer}
	// A client behind a NAT does not know its own address, so only the port counts.
	a.from = netip.AddrPortFrom(peer, expect.port)
	a.table.Open = func(ctx context.Context, host string, _ struct{}, port uint16) (outbound.Datagrams, error) {
		return s.Destinations.Datagrams(ctx, c, host, port)
	}
	a.table.Deliver, a.table.Max, a.table.Idle, a.table.Log = a.deliver, maxDestinations, s.UDPIdle, s.Log

	bound := socket.LocalAddr().(*net.UDPAddr).AddrPort()
	conn.SetDeadline(time.Now().Add(s.Handshake))
	if _, err := conn.Write(appendReply(nil, Succeeded, address{addr: bound.Addr().Unmap().WithZone(""), port: bound.Port()})); err != nil {
		socket.Close()
		return nil
	}
	conn.SetDeadline(time.Time{})

	var wg sync.WaitGroup
	wg.Go(func() { relay.Receive(socket, a.send) })
	// The association lasts as long as the connection (RFC 1928, section 7).
	io.Copy(io.Discard, struct{ io.Reader }{conn})
	socket.Close()
	wg.Wait()
	a.table.Close()
	return nil
}

// send sends on what the client writes.
func (a *association) send(b []byte, from netip.AddrPort) {
	to, data, err := cutDatagram(b)
	if err != nil || !a.accept(from) {
		return
	}
	a.table.Send(to.Host(), struct{}{}, data, to.port)
}

// accept reports whether a datagram is the client's: from the port that it announced, or
// that its first came from.
func (a *association) accept(from netip.AddrPort) bool {
	if from.Addr().WithZone("") != a.who {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if port := a.from.Port(); port != 0 && port != from.Port() {
		return false
	}
	a.from = from // with the zone that answers need
	return true
}

// deliver passes an answer to the client.
func (a *association) deliver(host string, b []byte, port uint16) {
	a.mu.Lock()
	to := a.from
	a.mu.Unlock()
	from := address{host: host, port: port}
	if addr, err := netip.ParseAddr(host); err == nil {
		from = address{addr: addr, port: port}
	}
	head := appendDatagram(make([]byte, 0, 4+1+len(host)+2+len(b)), from)
	a.socket.WriteToUDPAddrPort(append(head, b...), to)
}
