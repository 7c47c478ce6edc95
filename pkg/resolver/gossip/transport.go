package gossip

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"
)

// transport adds to a memberlist transport that Shutdown ends all streams and
// waits for those who use them, which memberlist does not.
type transport struct {
	memberlist.NodeAwareTransport
	dial    func(ctx context.Context, addr string) (net.Conn, error)
	streams chan net.Conn
	ctx     context.Context // ends with Shutdown
	cancel  context.CancelFunc
	done    sync.WaitGroup // forward

	mu    sync.Mutex
	conns map[*stream]struct{}
	users sync.WaitGroup // of the streams
}

// listen opens sockets for gossip. If advertise has no port, it is the one of
// bind.
func listen(bind, advertise netip.AddrPort, conf *memberlist.Config) (*transport, error) {
	var inner *memberlist.NetTransport
	var err error
	for range 10 { // a port that is free for TCP may be taken for UDP
		inner, err = memberlist.NewNetTransport(&memberlist.NetTransportConfig{
			BindAddrs: []string{bind.Addr().String()},
			BindPort:  int(bind.Port()),
			Logger:    conf.Logger,
		})
		if err == nil || bind.Port() != 0 {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("cannot listen at %v, choose another address or port: %w", bind, err)
	}
	if advertise.IsValid() {
		conf.AdvertiseAddr, conf.AdvertisePort = advertise.Addr().String(), int(advertise.Port())
		if conf.AdvertisePort == 0 {
			conf.AdvertisePort = inner.GetAutoBindPort()
		}
	}
	return newTransport(inner, func(ctx context.Context, addr string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", addr)
	}), nil
}

func newTransport(inner memberlist.NodeAwareTransport, dial func(context.Context, string) (net.Conn, error)) *transport {
	ctx, cancel := context.WithCancel(context.Background())
	t := &transport{
		NodeAwareTransport: inner,
		dial:               dial,
		streams:            make(chan net.Conn),
		ctx:                ctx,
		cancel:             cancel,
		conns:              make(map[*stream]struct{}),
	}
	t.done.Go(t.forward)
	return t
}

// forward hands accepted streams to memberlist.
func (t *transport) forward() {
	for {
		select {
		case <-t.ctx.Done():
			return
		case c := <-t.NodeAwareTransport.StreamCh():
			s, err := t.track(c)
			if err != nil {
				continue
			}
			select {
			case t.streams <- s:
			case <-t.ctx.Done():
				s.Close()
				return
			}
		}
	}
}

// StreamCh implements memberlist.Transport.
func (t *transport) StreamCh() <-chan net.Conn { return t.streams }

// DialTimeout implements memberlist.Transport.
func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

// DialAddressTimeout implements memberlist.NodeAwareTransport.
func (t *transport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(t.ctx, timeout)
	defer cancel()
	c, err := t.dial(ctx, a.Addr)
	if err != nil {
		return nil, err
	}
	return t.track(c)
}

// Shutdown implements memberlist.Transport.
func (t *transport) Shutdown() error {
	err := t.NodeAwareTransport.Shutdown()
	t.cancel()
	t.done.Wait()
	t.mu.Lock()
	for s := range t.conns {
		s.Conn.Close() // its user sees it fail and calls Close
	}
	t.mu.Unlock()
	t.users.Wait()
	return err
}

// stream is a connection whose users are waited for.
type stream struct {
	net.Conn
	t    *transport
	once sync.Once
}

func (t *transport) track(c net.Conn) (net.Conn, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.ctx.Err() != nil {
		c.Close()
		return nil, net.ErrClosed
	}
	s := &stream{Conn: c, t: t}
	t.conns[s] = struct{}{}
	t.users.Add(1)
	return s, nil
}

// Close ends the use of the stream.
func (s *stream) Close() error {
	s.once.Do(func() {
		s.t.mu.Lock()
		delete(s.t.conns, s)
		s.t.mu.Unlock()
		s.t.users.Done()
	})
	return s.Conn.Close()
}
