package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/miekg/dns"
)

const (
	idleTimeout  = 10 * time.Second // of a TCP connection between questions
	writeTimeout = 5 * time.Second  // for an answer to a client that reads slowly
	maxQuestions = 1000             // on one TCP connection
)

// Listener is a pair of sockets on one address.
type Listener struct {
	udp net.PacketConn
	tcp net.Listener
}

// Listen opens sockets for UDP and TCP on an address such as "127.0.0.1:53", with one
// port for both if it is 0.
func Listen(ctx context.Context, addr string) (*Listener, error) {
	var lc net.ListenConfig
	for try := 0; ; try++ {
		pc, err := lc.ListenPacket(ctx, "udp", addr)
		if err != nil {
			return nil, advise(addr, err)
		}
		ln, err := lc.Listen(ctx, "tcp", pc.LocalAddr().String())
		if err == nil {
			return &Listener{pc, ln}, nil
		}
		pc.Close()
		if at, perr := netip.ParseAddrPort(addr); perr != nil || at.Port() != 0 || try > 20 {
			return nil, advise(addr, err)
		}
	}
}

// advise says what to do about an address that cannot be had.
func advise(addr string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("DNS: %s is in use, by another DNS server or servald: choose another address of this host, such as 127.0.0.64:53: %w", addr, err)
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return fmt.Errorf("DNS: %s needs root or CAP_NET_BIND_SERVICE: choose a port above 1023, or give servald that: %w", addr, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("DNS: %s is no address of this host: %w", addr, err)
	}
	return fmt.Errorf("DNS: %w", err)
}

// Addr returns the address listened on.
func (l *Listener) Addr() netip.AddrPort { return addrOf(l.udp.LocalAddr()) }

// Close closes both sockets.
func (l *Listener) Close() error { return errors.Join(l.udp.Close(), l.tcp.Close()) }

// Serve answers what comes to l until ctx is done, and then returns nil. It closes l.
func (s *Server) Serve(ctx context.Context, l *Listener) error {
	at := l.Addr()
	s.mu.Lock()
	s.local[at]++
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.local[at]--; s.local[at] == 0 {
			delete(s.local, at)
		}
	}()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s.probeAll() // once it can come back

	failed := make(chan error, 2)
	var both sync.WaitGroup
	both.Go(func() { failed <- s.serveUDP(ctx, l.udp) })
	both.Go(func() { failed <- s.serveTCP(ctx, l.tcp) })
	var err error
	select {
	case err = <-failed:
	case <-ctx.Done():
	}
	stopped := ctx.Err() != nil
	cancel()
	l.Close()
	both.Wait()
	if stopped {
		return nil
	}
	return fmt.Errorf("DNS at %v: %w", at, err)
}

// serveUDP answers what comes by UDP until ctx is done.
func (s *Server) serveUDP(ctx context.Context, pc net.PacketConn) error {
	srv := &dns.Server{PacketConn: pc, UDPSize: largestUDP, MsgAcceptFunc: accept,
		Handler: dns.HandlerFunc(func(w dns.ResponseWriter, m *dns.Msg) {
			client := addrOf(w.RemoteAddr()).Addr()
			if !s.work.acquire(client) {
				s.dropped()
				return
			}
			defer s.work.release(client)
			q := &question{Msg: m, Question: m.Question[0], client: client}
			w.WriteMsg(s.answer(ctx, q)) // a client that is gone misses it
		})}
	started, ended := make(chan struct{}), make(chan struct{})
	srv.NotifyStartedFunc = func() { close(started) }
	defer close(ended)
	stop := context.AfterFunc(ctx, func() {
		select {
		case <-started:
			srv.Shutdown()
		case <-ended:
		}
	})
	defer stop()
	return srv.ActivateAndServe()
}

// serveTCP answers what comes by TCP until the listener is closed.
func (s *Server) serveTCP(ctx context.Context, ln net.Listener) error {
	places := make(chan struct{}, max(s.cfg.Max/4, 1))
	var conns sync.WaitGroup
	defer conns.Wait()
	pause := time.Duration(0)
	for {
		c, err := ln.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				c.Close()
			}
			return ctx.Err()
		case errors.Is(err, net.ErrClosed):
			return err
		case err != nil: // too many open files, most likely
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			select {
			case <-time.After(pause):
			case <-ctx.Done():
			}
			continue
		}
		pause = 0
		select {
		case places <- struct{}{}:
		default:
			c.Close() // the client tries again, or UDP
			continue
		}
		conns.Go(func() {
			defer func() { <-places }()
			s.ServeStream(ctx, c)
		})
	}
}

// ServeStream answers questions on a stream, each with its length before it, as on
// TCP, until the client closes it, is idle for 10 seconds, or ctx is done. It closes
// the stream.
func (s *Server) ServeStream(ctx context.Context, c net.Conn) {
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	client := netip.Addr{}
	if a := c.RemoteAddr(); a != nil {
		client = addrOf(a).Addr()
	}
	var length [2]byte
	buf := make([]byte, 512)
	for range maxQuestions {
		c.SetDeadline(time.Now().Add(idleTimeout)) // also for a question in many small pieces
		if _, err := io.ReadFull(c, length[:]); err != nil {
			return
		}
		n := int(binary.BigEndian.Uint16(length[:]))
		if n > len(buf) {
			buf = make([]byte, n)
		}
		if _, err := io.ReadFull(c, buf[:n]); err != nil {
			return
		}
		out := s.serve(ctx, buf[:n], client, true)
		if out == nil {
			return
		}
		c.SetWriteDeadline(time.Now().Add(writeTimeout))
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...)); err != nil {
			return
		}
	}
}

// ServePacket returns the answer to a question, both as in a UDP packet, or if tcp is
// set in the form that TCP carries after the length. It is nil where there is nothing
// to say. The question is one of a program of this host.
func (s *Server) ServePacket(ctx context.Context, query []byte, tcp bool) []byte {
	return s.serve(ctx, query, netip.Addr{}, tcp)
}

func (s *Server) serve(ctx context.Context, query []byte, client netip.Addr, tcp bool) []byte {
	if !s.work.acquire(client) {
		s.dropped()
		return nil
	}
	defer s.work.release(client)
	h, ok := parseHeader(query)
	if !ok {
		return nil
	}
	m := new(dns.Msg)
	switch accept(h) {
	case dns.MsgIgnore:
		return nil
	case dns.MsgReject:
		return refusal(h, dns.RcodeFormatError)
	case dns.MsgRejectNotImplemented:
		return refusal(h, dns.RcodeNotImplemented)
	}
	if err := m.Unpack(query); err != nil || len(m.Question) != 1 {
		return refusal(h, dns.RcodeFormatError)
	}
	resp := s.answer(ctx, &question{Msg: m, Question: m.Question[0], client: client, tcp: tcp})
	out, err := resp.Pack()
	if err != nil {
		s.log.Debug("a DNS answer cannot be packed", "name", m.Question[0].Name, "err", err)
		return refusal(h, dns.RcodeServerFailure)
	}
	return out
}

// accept says what is a question at all.
func accept(h dns.Header) dns.MsgAcceptAction {
	if h.Bits>>11&0xF == dns.OpcodeNotify && h.Bits>>15 == 0 {
		return dns.MsgRejectNotImplemented
	}
	return dns.DefaultMsgAcceptFunc(h)
}

func parseHeader(b []byte) (h dns.Header, ok bool) {
	if len(b) < 12 {
		return h, false
	}
	at := func(i int) uint16 { return binary.BigEndian.Uint16(b[i:]) }
	return dns.Header{Id: at(0), Bits: at(2), Qdcount: at(4), Ancount: at(6), Nscount: at(8), Arcount: at(10)}, true
}

// refusal is an answer to what could not be read: a header.
func refusal(h dns.Header, code int) []byte {
	b := binary.BigEndian.AppendUint16(nil, h.Id)
	b = binary.BigEndian.AppendUint16(b, 1<<15|h.Bits&(0xF<<11|1<<8)|uint16(code))
	return append(b, make([]byte, 8)...)
}
