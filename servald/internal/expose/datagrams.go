package expose

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/serval-net/serval/servald/internal/mark"
)

// Session is one client's datagrams: what a *serval.Conn accepted with network "udp"
// is.
type Session interface {
	net.Conn
	// ReadMessage returns the next datagram and the port of the service it is for, 0
	// if the client has no ports.
	ReadMessage() (b []byte, port uint16, err error)
	// WritePort sends a datagram that comes from a port of the service.
	WritePort(b []byte, port uint16) (int, error)
	// SetReadBuffer bounds the bytes that wait for ReadMessage.
	SetReadBuffer(bytes int) error
}

// sessionBuffer is what may wait of one client's datagrams, while its server is started
// for example.
const sessionBuffer = 512 << 10

// datagrams carries a client's datagrams to the server and back, over a socket of its
// own, until either side ends or nothing came or went for UDPIdle.
func (s *Server) datagrams(ctx context.Context, p *plan, caller Caller, conn Session) error {
	defer conn.Close()
	if err := conn.SetReadBuffer(sessionBuffer); err != nil {
		return err
	}
	if p.OnDemand {
		if err := s.awaitUDP(ctx, p); err != nil {
			return err
		}
	}
	server, err := lookup(ctx, p.target.Host, p.DialTimeout)
	if err != nil {
		return err
	}
	socket, err := listenTo(ctx, server)
	if err != nil {
		return err
	}
	defer socket.Close()
	r := &relay{began: time.Now(), conn: conn, socket: socket, server: server, plan: p, caller: caller,
		ports: portMap{fixed: p.target.Port, allowed: p.ports, spoken: caller.Port != 0}}
	return r.run(ctx)
}

// udpPatience is how long a server that was started on demand is given to open its
// UDP port, where it cannot be seen whether it has; udpBlind where it can, if it is a
// socket of this host's: containers have others.
const (
	udpPatience = time.Second
	udpBlind    = 5 * time.Second
)

// awaitUDP makes a server on demand run, and waits until it has its port.
func (s *Server) awaitUDP(ctx context.Context, p *plan) error {
	began := time.Now()
	try := func(context.Context) error {
		listens, known := listensUDP(p.target.Port)
		waited := time.Since(began)
		if listens || waited > udpBlind || !known && waited > udpPatience {
			return nil
		}
		return fmt.Errorf("nothing has UDP port %d of this host", p.target.Port)
	}
	return s.demand.reach(ctx, p, try)
}

// lookup finds the address of a server. Of several, IPv4 comes first: of localhost,
// which has both as a rule, more servers know that one.
func lookup(ctx context.Context, host string, timeout time.Duration) (netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return a, nil
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	all, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return netip.Addr{}, err
	}
	for i, a := range all {
		if all[i] = a.Unmap(); all[i].Is4() {
			return all[i], nil
		}
	}
	if len(all) == 0 {
		return netip.Addr{}, fmt.Errorf("%s has no address", host)
	}
	return all[0], nil
}

// listenTo opens a socket to talk to a server with, which only this host can reach if
// the server is on it.
func listenTo(ctx context.Context, server netip.Addr) (*net.UDPConn, error) {
	local := netip.IPv6Unspecified()
	switch {
	case server.IsLoopback():
		local = server
	case server.Is4():
		local = netip.IPv4Unspecified()
	}
	network := "udp6"
	if local.Is4() {
		network = "udp4"
	}
	lc := net.ListenConfig{Control: mark.Control}
	conn, err := lc.ListenPacket(ctx, network, netip.AddrPortFrom(local, 0).String())
	if err != nil {
		return nil, err
	}
	socket := conn.(*net.UDPConn)
	socket.SetReadBuffer(socketBuffer) // or as much as the kernel allows
	return socket, nil
}

// socketBuffer is what may wait of a server's answers, enough for 10 ms of a gigabit:
// servers send in bursts.
const socketBuffer = 1 << 20

// relay is one client's datagrams on their way.
type relay struct {
	conn   Session
	socket *net.UDPConn
	server netip.Addr
	plan   *plan
	caller Caller

	mu    sync.Mutex
	ports portMap

	header []byte // of the PROXY protocol, for headerPort
	of     uint16

	began   time.Time
	used    atomic.Int64 // how long after began something came or went: no matter for clocks
	failure atomic.Pointer[error]
}

// run returns nil when the client ended, the time of idleness did, or ctx.
func (r *relay) run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { r.conn.Close(); r.socket.Close() })
	defer stop()
	var timer *time.Timer
	var timing sync.Mutex
	expire := func() {
		timing.Lock()
		defer timing.Unlock()
		if left := r.plan.UDPIdle - time.Since(r.began) + time.Duration(r.used.Load()); left > 0 {
			timer.Reset(left)
			return
		}
		cancel()
	}
	timing.Lock()
	timer = time.AfterFunc(r.plan.UDPIdle, expire)
	timing.Unlock()
	defer timer.Stop()

	var wg sync.WaitGroup
	wg.Go(func() { defer cancel(); r.down() })
	r.up()
	cancel()
	wg.Wait()
	if err := r.failure.Load(); err != nil {
		return *err
	}
	return nil
}

func (r *relay) touch() { r.used.Store(int64(time.Since(r.began))) }

// fail keeps the first reason why the relay cannot go on.
func (r *relay) fail(err error) { r.failure.CompareAndSwap(nil, &err) }

// up passes on what the client sends.
func (r *relay) up() {
	for {
		b, said, err := r.conn.ReadMessage()
		if err != nil {
			return // the client has gone
		}
		r.mu.Lock()
		port, ok := r.ports.out(said)
		r.mu.Unlock()
		if !ok {
			r.fail(fmt.Errorf("the client sent to port %d, which is not among those that it may", said))
			continue
		}
		r.touch()
		if r.plan.Proxy != "" {
			if b, err = r.withHeader(b, said, port); err != nil {
				r.fail(err)
				return
			}
		}
		// What cannot be sent now is lost, as datagrams are.
		if _, err := r.socket.WriteToUDPAddrPort(b, netip.AddrPortFrom(r.server, port)); errors.Is(err, net.ErrClosed) {
			return
		}
	}
}

func (r *relay) withHeader(b []byte, said, port uint16) ([]byte, error) {
	if r.header == nil || r.of != said {
		c := r.caller
		c.Port = said
		h, err := c.Header(true, r.plan.ProxyAddress == AddressVirtual, port)
		if err != nil {
			return nil, err
		}
		r.header, r.of = h, said
	}
	return append(append(make([]byte, 0, len(r.header)+len(b)), r.header...), b...), nil
}

// down passes on what the server answers, and nobody else's.
func (r *relay) down() {
	for {
		err := receive(r.socket, func(b []byte, from netip.AddrPort) {
			if from.Addr().Unmap().WithZone("") != r.server.WithZone("") {
				return
			}
			r.mu.Lock()
			port := r.ports.in(from.Port())
			r.mu.Unlock()
			r.touch()
			if _, err := r.conn.WritePort(b, port); errors.Is(err, syscall.EMSGSIZE) {
				r.fail(fmt.Errorf("the server's answer of %d bytes is longer than datagrams can be", len(b)))
			}
		})
		if err != nil {
			return
		}
	}
}
