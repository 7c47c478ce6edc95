package tun

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	"github.com/serval-net/serval/servald/internal/splice"
)

const nicID = 1

// Stack ends what comes from one device. Its methods are safe for concurrent use.
type Stack struct {
	cfg     Config
	handler Handler
	log     *slog.Logger
	dev     Device
	stack   *stack.Stack
	link    *link

	ctx context.Context // of everything that is open; done when Run gives up on it
	end context.CancelCauseFunc
	wg  sync.WaitGroup // all goroutines that serve one stream, flow or echo

	opening opening
	streams streams
	flows   flows
	pings   chan struct{} // a token for each echo under way
	counts  counts
}

// counts is what Stats tells.
type counts struct {
	streams, refused, unreachable, flows, echoes atomic.Uint64
}

// Stats is what a Stack did so far and holds now.
type Stats struct {
	Streams     int    // open TCP connections
	Opening     int    // TCP connections that wait for the other side
	Flows       int    // datagram flows
	StreamsEver uint64 // TCP connections that were opened
	FlowsEver   uint64 // datagram flows that were opened
	Refused     uint64 // answered by a reset, or ICMP's port unreachable
	Unreachable uint64 // answered by ICMP's host unreachable
	Echoes      uint64 // echo requests that were answered
	Dropped     uint64 // packets that the device did not take
}

// Stats returns the present numbers.
func (s *Stack) Stats() Stats {
	return Stats{
		Streams: s.streams.len(), Opening: s.opening.len(), Flows: s.flows.len(),
		StreamsEver: s.counts.streams.Load(), FlowsEver: s.counts.flows.Load(),
		Refused: s.counts.refused.Load(), Unreachable: s.counts.unreachable.Load(),
		Echoes: s.counts.echoes.Load(), Dropped: s.link.dropped.Load(),
	}
}

// New returns a stack that owns dev. It does nothing before Run.
func New(dev Device, h Handler, cfg Config) (*Stack, error) {
	cfg = cfg.withDefaults()
	if mtu := dev.MTU(); mtu < header.IPv6MinimumMTU || mtu > 0xffff {
		return nil, fmt.Errorf("tun: an MTU of %d does not work; choose one from %d to 65535", mtu, header.IPv6MinimumMTU)
	}
	s := &Stack{
		cfg: cfg, handler: h, log: cfg.Log, dev: dev,
		link:  newLink(dev),
		pings: make(chan struct{}, maxPings),
	}
	s.opening.max = cfg.MaxOpening
	s.ctx, s.end = context.WithCancelCause(context.Background())
	s.stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4, icmp.NewProtocol6},
	})
	if err := s.configure(); err != nil {
		s.end(splice.ErrCut)
		s.stack.Destroy()
		return nil, err
	}
	return s, nil
}

// configure makes the stack take every address for its own.
func (s *Stack) configure() error {
	if err := s.configureTCP(); err != nil {
		return err
	}
	if err := s.stack.CreateNICWithOptions(nicID, s.link, stack.NICOptions{QDisc: (*qdisc)(s.link)}); err != nil {
		return fmt.Errorf("tun: creating the interface: %v", err)
	}
	if err := s.stack.SetPromiscuousMode(nicID, true); err != nil {
		return fmt.Errorf("tun: taking all addresses: %v", err)
	}
	if err := s.stack.SetSpoofing(nicID, true); err != nil {
		return fmt.Errorf("tun: sending from all addresses: %v", err)
	}
	s.stack.SetRouteTable([]tcpip.Route{
		{Destination: header.IPv4EmptySubnet, NIC: nicID},
		{Destination: header.IPv6EmptySubnet, NIC: nicID},
	})
	// The window offered in the SYN-ACK is the buffer that every stream may have.
	forwarder := tcp.NewForwarder(s.stack, minBuffer, s.cfg.MaxOpening, s.serveSYN)
	s.stack.SetTransportProtocolHandler(tcp.ProtocolNumber, func(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
		return s.takeSegment(forwarder, id, pkt)
	})
	s.stack.SetTransportProtocolHandler(udp.ProtocolNumber, s.takeDatagram)
	s.stack.SetTransportProtocolHandler(icmp.ProtocolNumber4, s.takeICMPv4)
	s.stack.SetTransportProtocolHandler(icmp.ProtocolNumber6, s.takeICMPv6)
	return nil
}

// Run serves what comes from the device until ctx is done, gives open streams the time
// of Config.Drain, resets them, and returns nil. It returns the error when the device
// fails for another reason. When it returns, the device is closed and nothing that
// the stack started runs any more.
func (s *Stack) Run(ctx context.Context) error {
	defer s.end(splice.ErrCut)
	stopped := context.AfterFunc(ctx, func() {
		s.drain()
		s.end(splice.ErrCut)
		s.streams.abort()
		s.wait(time.Second) // until the resets are out
		s.link.close()
	})
	err := s.link.run()
	if stopped() { // the device failed, not we
		s.end(splice.ErrCut)
		s.streams.abort()
		s.link.close()
	}
	s.wg.Wait()
	s.stack.Destroy()
	if ctx.Err() != nil && errors.Is(err, os.ErrClosed) {
		return nil
	}
	return fmt.Errorf("tun: reading the device: %w", err)
}

// Active returns how many streams are open or being opened.
func (s *Stack) Active() int { return s.streams.taken() }

// wait waits until no stream is open or being opened, for some time at most.
func (s *Stack) wait(most time.Duration) {
	end := time.Now().Add(most)
	for s.streams.taken() > 0 && time.Now().Before(end) {
		time.Sleep(5 * time.Millisecond)
	}
}

// drain lets open streams go on for as long as they may.
func (s *Stack) drain() {
	if s.cfg.End == nil {
		s.wait(s.cfg.Drain)
		return
	}
	for s.streams.taken() > 0 && s.cfg.End.Err() == nil {
		s.wait(50 * time.Millisecond)
	}
}

// source and destination are the ends of what id was sent to us for.
func source(id stack.TransportEndpointID) netip.AddrPort {
	return netip.AddrPortFrom(toAddr(id.RemoteAddress), id.RemotePort)
}

func destination(id stack.TransportEndpointID) netip.AddrPort {
	return netip.AddrPortFrom(toAddr(id.LocalAddress), id.LocalPort)
}

func toAddr(a tcpip.Address) netip.Addr {
	if a.Len() == 4 {
		return netip.AddrFrom4(a.As4())
	}
	return netip.AddrFrom16(a.As16())
}

func fromAddr(a netip.Addr) tcpip.Address { return tcpip.AddrFromSlice(a.AsSlice()) }
