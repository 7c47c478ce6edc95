package tun

import (
	"context"
	"fmt"
	"net"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"

	"github.com/serval-net/serval/servald/internal/splice"
)

// configureTCP sets what all TCP connections have in common.
func (s *Stack) configureTCP() error {
	sack, moderate := tcpip.TCPSACKEnabled(true), tcpip.TCPModerateReceiveBufferOption(true)
	for _, opt := range []tcpip.SettableTransportProtocolOption{
		&sack, &moderate, &timeWait, &synRetries,
		&tcpip.TCPSendBufferSizeRangeOption{Min: minBuffer, Default: minBuffer, Max: s.cfg.MaxBuffer},
		&tcpip.TCPReceiveBufferSizeRangeOption{Min: minBuffer, Default: minBuffer, Max: 2 * s.cfg.MaxBuffer},
	} {
		if err := s.stack.SetTransportProtocolOption(tcp.ProtocolNumber, opt); err != nil {
			return fmt.Errorf("tun: setting %T: %v", opt, err)
		}
	}
	return nil
}

// takeSegment takes segments that belong to no connection. It returns false for those
// that TCP answers with a reset.
func (s *Stack) takeSegment(f *tcp.Forwarder, id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	h := header.TCP(pkt.TransportHeader().Slice())
	if h.Flags()&(header.TCPFlagSyn|header.TCPFlagAck) != header.TCPFlagSyn {
		return false
	}
	if s.ctx.Err() != nil || !s.opening.add(id, h.SequenceNumber()) {
		return true
	}
	s.wg.Add(1) // for serveSYN
	if !f.HandlePacket(id, pkt) {
		s.opening.remove(id)
		s.wg.Done()
		return false
	}
	return true
}

// serveSYN serves one connection, from its SYN to its end.
func (s *Stack) serveSYN(r *tcp.ForwarderRequest) {
	defer s.wg.Done()
	id := r.ID()
	client := toAddr(id.RemoteAddress)
	full := !s.streams.reserve(client, s.cfg.MaxStreams)
	if !full {
		defer s.streams.release(client)
	}
	conn, err := s.openStream(id, full)
	if err != nil {
		away := IsUnreachable(err)
		if s.ctx.Err() == nil {
			s.log.Debug("connection refused", "from", source(id), "to", destination(id), "err", err)
		}
		if away {
			s.counts.unreachable.Add(1)
			s.unreachable(toAddr(id.RemoteAddress), toAddr(id.LocalAddress), noHost, s.opening.quote(id))
		} else {
			s.counts.refused.Add(1)
		}
		r.Complete(!away)
		s.opening.remove(id)
		return
	}
	st, err := s.accept(r)
	r.Complete(false)
	s.opening.remove(id)
	if err != nil { // the program has gone meanwhile
		splice.Abort(conn)
		return
	}
	s.counts.streams.Add(1)
	if _, _, err := splice.Join(s.ctx, st, conn); err != nil && s.ctx.Err() == nil {
		s.log.Debug("connection failed", "from", source(id), "to", destination(id), "err", err)
	}
	st.delivered(s.ctx)
	s.streams.remove(st)
	s.share()
}

func (s *Stack) share() { s.streams.share(s.cfg.Memory, s.cfg.MaxBuffer) }

// openContext is the context for one call of the handler.
func (s *Stack) openContext() (context.Context, context.CancelFunc) {
	return context.WithTimeout(s.ctx, s.cfg.OpenTimeout)
}

// keepAlive is after how long a client that is silent is asked whether it still is there:
// one on another host may have gone without a word.
const keepAlive = 10 * time.Minute

// errFull is why a connection is refused when there are too many.
var errFull = fmt.Errorf("too many connections are open; raise max_streams")

func (s *Stack) openStream(id stack.TransportEndpointID, full bool) (net.Conn, error) {
	if full {
		return nil, errFull
	}
	ctx, cancel := s.openContext()
	defer cancel()
	return s.handler.Stream(ctx, source(id), destination(id))
}

// accept answers the SYN and waits until the connection is established.
func (s *Stack) accept(r *tcp.ForwarderRequest) (*stream, error) {
	st := newStream(r.ID(), s.dev.MTU())
	ep, err := r.CreateEndpoint(&st.queue)
	if err != nil {
		return nil, fmt.Errorf("answering the SYN: %v", err)
	}
	st.tcp = ep
	s.share()
	if !s.streams.add(st) {
		st.Abort()
		return nil, errFull
	}
	ep.SocketOptions().SetDelayOption(false)
	ep.SocketOptions().SetKeepAlive(true)
	idle, interval := tcpip.KeepaliveIdleOption(keepAlive), tcpip.KeepaliveIntervalOption(keepAlive/10)
	ep.SetSockOpt(&idle)
	ep.SetSockOpt(&interval)
	return st, nil
}
