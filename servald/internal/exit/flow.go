package exit

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/serval-net/serval/servald/internal/tun"
)

// maxWaiting is how many datagrams wait to be read by one flow. More get lost.
const maxWaiting = 128

// maxDatagram is the size of the largest UDP datagram in bytes.
const maxDatagram = 1 << 16

// port is the socket of one UDP port of a client, shared by its flows to different
// addresses. A goroutine hands what it receives to them, until the last is closed.
type port struct {
	client netip.AddrPort
	conn   *net.UDPConn
	done   chan struct{} // closed when the goroutine has ended

	mu    sync.Mutex
	flows map[netip.Addr]*flow
	ended bool
}

// flow is a port's exchange with one address; it implements tun.Datagrams.
type flow struct {
	port     *port
	exit     *Exit
	peer     netip.Addr
	incoming chan datagram
	closed   chan struct{}
	once     sync.Once

	refused chan uint16 // ports that were found to be closed

	mu    sync.Mutex
	wake  chan struct{} // closed when the deadline changes
	until time.Time     // of reads; zero is none
}

// datagram is one from a port of the peer.
type datagram struct {
	payload []byte
	port    uint16
}

// open returns the flow to peer. The caller holds e.mu.
func (p *port) open(e *Exit, peer netip.Addr) (tun.Datagrams, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return nil, net.ErrClosed
	}
	if old := p.flows[peer]; old != nil {
		old.end() // the client gave it up: there is one for an address
	}
	f := &flow{port: p, exit: e, peer: peer, incoming: make(chan datagram, maxWaiting),
		refused: make(chan uint16, maxWaiting), closed: make(chan struct{}), wake: make(chan struct{})}
	p.flows[peer] = f
	return f, nil
}

// find returns the flow with an address, nil if there is none.
func (p *port) find(peer netip.Addr) *flow {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.flows[peer.Unmap()]
}

// receive hands out what comes, until the socket is closed.
func (p *port) receive() {
	defer p.endAll()
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := p.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			if !p.takeErrors() {
				return
			}
			continue
		}
		f := p.find(from.Addr())
		if f == nil {
			continue // the client did not speak to it
		}
		select {
		case f.incoming <- datagram{append([]byte(nil), buf[:n]...), from.Port()}:
		default:
		}
	}
}

// endAll ends what is left when the socket has failed.
func (p *port) endAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	p.conn.Close()
	for _, f := range p.flows {
		f.end()
	}
}

// takeErrors tells the flows which of their datagrams were refused. It reports whether
// the socket can still be used.
func (p *port) takeErrors() bool {
	p.mu.Lock()
	ended := p.ended
	p.mu.Unlock()
	if ended {
		return false
	}
	return readErrors(p.conn, func(to netip.AddrPort) {
		if f := p.find(to.Addr()); f != nil {
			f.refuse(to.Port())
		}
	})
}

func (f *flow) end() { f.once.Do(func() { close(f.closed) }) }

// refuse notes that nobody serves a port of the peer.
func (f *flow) refuse(port uint16) {
	select {
	case f.refused <- port:
	default:
	}
}

// WriteTo implements tun.Datagrams.
func (f *flow) WriteTo(b []byte, port uint16) (int, error) {
	n, err := f.port.conn.WriteToUDPAddrPort(b, netip.AddrPortFrom(f.peer, port))
	if err != nil { // maybe that of an earlier one, which the kernel tells in this way
		f.port.takeErrors()
		n, err = f.port.conn.WriteToUDPAddrPort(b, netip.AddrPortFrom(f.peer, port))
	}
	return n, err
}

// ReadFrom implements tun.Datagrams.
func (f *flow) ReadFrom(b []byte) (int, uint16, error) {
	for {
		f.mu.Lock()
		wake, until := f.wake, f.until
		f.mu.Unlock()
		var late <-chan time.Time
		if !until.IsZero() {
			timer := time.NewTimer(time.Until(until))
			defer timer.Stop()
			late = timer.C
		}
		select {
		case d := <-f.incoming:
			return copy(b, d.payload), d.port, nil
		case port := <-f.refused:
			return 0, port, syscall.ECONNREFUSED
		case <-f.closed:
			return 0, 0, net.ErrClosed
		case <-late:
			return 0, 0, os.ErrDeadlineExceeded
		case <-wake:
		}
	}
}

// SetReadDeadline implements tun.Datagrams.
func (f *flow) SetReadDeadline(t time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.until = t
	close(f.wake)
	f.wake = make(chan struct{})
	return nil
}

// Close implements tun.Datagrams. The port's socket goes with its last flow.
func (f *flow) Close() error {
	f.end()
	if f.port.leave(f) {
		<-f.port.done
	}
	return nil
}

// leave removes f, and reports whether it was the last one, whose socket is closed.
func (p *port) leave(f *flow) bool {
	f.exit.mu.Lock()
	defer f.exit.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.flows[f.peer] == f {
		delete(p.flows, f.peer)
	}
	if len(p.flows) > 0 || p.ended {
		return false
	}
	p.ended = true
	p.conn.Close()
	delete(f.exit.ports, p.client)
	return true
}
