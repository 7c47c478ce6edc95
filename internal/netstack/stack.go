// Package netstack gives every Serval connection a TCP endpoint of its own
// without ever putting TCP on the wire.
//
// One gVisor stack per node holds one TCP endpoint per connection. The peer of
// that endpoint is not a host: it is this package's link endpoint, which answers
// in memory. Segments TCP emits become stream offsets and bytes handed to a
// [Link]; what comes back from it, acknowledgements, FIN and RST, is injected as
// synthetic segments. Bytes that arrive wait in the Endpoint for the reader. What
// TCP contributes is what applications expect of a socket: buffering,
// back-pressure, half-close, reset and deadlines. Loss, order, pacing and
// windows between hosts are the business of the layer behind the Link.
//
//	app ── Conn ── gVisor TCP ══ link endpoint ── Link ── network
//	         Write ────────────────▶ Output, OutputFIN, Abort
//	         Read  ◀──────────────── Ack, Deliver, DeliverFIN, DeliverReset
//
// The synthetic peer never loses, reorders or delays anything, so TCP's own
// timers have nothing to do and are switched off (see clock).
//
// Lock order: the endpoint's lock inside gVisor, then whatever Link methods
// take, then Endpoint.mu. Ack, Deliver, DeliverFIN and DeliverReset only take
// the last, so they may be called under the Link's own lock; Conn's methods and
// Abort take the first and may not.
package netstack

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// Defaults of [Config], in bytes.
const (
	DefaultSendBuffer = 1 << 20
)

const (
	nicID = 1

	// mtu is the largest IPv4 packet, so that one segment carries up to
	// MaxSegment bytes without any segmentation offload.
	mtu = 65535
)

// MaxSegment is the most stream bytes one segment, and so one [Chunk], holds.
const MaxSegment = mtu - header.IPv4MinimumSize - header.TCPMinimumSize

// Config tunes a [Stack]. The zero value is ready to use.
type Config struct {
	// SendBuffer is how many bytes written by the application TCP holds
	// before Write blocks, and how many of them it hands to the Link ahead of
	// its Acks. Zero means DefaultSendBuffer.
	SendBuffer int
}

// Stack is the set of TCP endpoints of one node. Its methods are safe for
// concurrent use. The number of its goroutines does not depend on the number of
// endpoints.
type Stack struct {
	sendBuffer int

	stack *stack.Stack
	link  *link
	clock *clock
	acks  ackFlusher
	addrs atomic.Uint64 // virtual peers handed out so far
	spare chan *Endpoint

	mu     sync.RWMutex // held for reading while an endpoint opens
	closed atomic.Bool
}

// ErrStackClosed is returned by Open after Close.
var ErrStackClosed = errors.New("netstack: the stack is closed; open connections on a running node")

// localAddr is the address of every endpoint; peers are told apart by theirs.
var localAddr = tcpip.AddrFrom4([4]byte{172, 16, 0, 1})

// localPort is the port of every endpoint.
const localPort = 1

// New starts a stack.
func New(cfg Config) (*Stack, error) {
	s := &Stack{sendBuffer: cfg.SendBuffer, link: &link{}, clock: &clock{}, spare: make(chan *Endpoint, maxSpare)}
	if s.sendBuffer == 0 {
		s.sendBuffer = DefaultSendBuffer
	}
	if s.sendBuffer < 2*MaxSegment {
		return nil, fmt.Errorf("netstack: SendBuffer %d must be at least %d bytes", s.sendBuffer, 2*MaxSegment)
	}
	s.stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol},
		Clock:              s.clock,
	})
	if err := s.configure(); err != nil {
		s.stack.Destroy()
		return nil, err
	}
	return s, nil
}

// configure makes TCP as plain as its lossless, instant peer allows.
func (s *Stack) configure() error {
	sack, recovery, moderate, wait := tcpip.TCPSACKEnabled(false), tcpip.TCPRecovery(0),
		tcpip.TCPModerateReceiveBufferOption(false), tcpip.TCPTimeWaitTimeoutOption(0)
	for _, opt := range []tcpip.SettableTransportProtocolOption{
		&sack, &recovery, &moderate, &wait,
		&tcpip.TCPSendBufferSizeRangeOption{Min: 1, Default: s.sendBuffer, Max: s.sendBuffer},
	} {
		if err := s.stack.SetTransportProtocolOption(tcp.ProtocolNumber, opt); err != nil {
			return fmt.Errorf("netstack: setting %T: %v", opt, err)
		}
	}
	opts := stack.NICOptions{QDisc: (*qdisc)(s.link)}
	if err := s.stack.CreateNICWithOptions(nicID, s.link, opts); err != nil {
		return fmt.Errorf("netstack: creating the interface: %v", err)
	}
	addr := tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: localAddr.WithPrefix()}
	if err := s.stack.AddProtocolAddress(nicID, addr, stack.AddressProperties{}); err != nil {
		return fmt.Errorf("netstack: adding the address: %v", err)
	}
	s.stack.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nicID}})
	return nil
}

// Open creates an established endpoint whose outgoing bytes go to l. It does not
// call l.
func (s *Stack) Open(l Link) (*Endpoint, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed.Load() {
		return nil, ErrStackClosed
	}
	select {
	case e := <-s.spare:
		e.link = l
		return e, nil
	default:
		return s.open(l)
	}
}

func (s *Stack) open(l Link) (*Endpoint, error) {
	e := newEndpoint(s, l, s.nextPeer())
	if err := e.open(); err != nil {
		return nil, fmt.Errorf("netstack: opening an endpoint: %v", err)
	}
	return e, nil
}

// maxSpare is how many endpoints Prepare keeps.
const maxSpare = 2

// Prepare opens an endpoint ahead of the next Open, if none is waiting. Call it
// where a connection waits for the network anyway: opening takes two passes
// through TCP's goroutines.
func (s *Stack) Prepare() {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed.Load() || len(s.spare) == cap(s.spare) {
		return
	}
	e, err := s.open(unused{})
	if err != nil {
		return // Open will say
	}
	select {
	case s.spare <- e:
	default:
		e.conn.Abort(net.ErrClosed)
	}
}

// unused is the Link of an endpoint that waits for Open.
type unused struct{}

func (unused) Output(c Chunk)   { c.Release() }
func (unused) OutputFIN(uint64) {}
func (unused) Abort()           {}
func (unused) Consumed(int)     {}

// nextPeer returns an address in 10.0.0.0/8 and a port that no live endpoint's
// peer has: the counter takes 2^40 opens to come round.
func (s *Stack) nextPeer() tcpip.FullAddress {
	n := s.addrs.Add(1)
	return tcpip.FullAddress{
		NIC:  nicID,
		Addr: tcpip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}),
		Port: uint16(1 + (n>>24)%65535),
	}
}

// Close aborts every endpoint and waits for the stack's goroutines. Links see
// Abort; applications see [net.ErrClosed]. Call it without holding any lock that
// Link methods take.
func (s *Stack) Close() error {
	s.mu.Lock()
	again := s.closed.Swap(true)
	s.mu.Unlock()
	if again {
		return net.ErrClosed
	}
	s.acks.close()
	s.stack.Destroy()
	s.clock.wait()
	return nil
}
