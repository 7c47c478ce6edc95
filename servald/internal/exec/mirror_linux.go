package exec

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/serval-net/serval/servald/internal/splice"
)

// mirrorEvery is how often a mirror looks who listens.
const mirrorEvery = 250 * time.Millisecond

// maxMirrored bounds how many ports are open on the other side, in each direction.
const maxMirrored = 1024

// mirror makes localhost one place on both sides: what listens on the host's loopback
// is there for the program, and what the program and its descendants listen at is there
// for the host, at the same address and port. A port that both use stays as it is.
type mirror struct {
	ns  *namespace
	log *slog.Logger

	host, inside *lister
	ephemeral    uint16
	in, out      map[endpoint]*opening // of the host, opened inside; and the reverse
	failed       map[endpoint]bool     // was said already
	broken       bool                  // likewise

	wg sync.WaitGroup
}

// opening is an endpoint that is open on the other side.
type opening struct {
	close func()
	ended chan struct{}
}

func newMirror(ns *namespace, log *slog.Logger) (*mirror, error) {
	m := &mirror{ns: ns, log: log, ephemeral: ephemeralPorts(),
		in: make(map[endpoint]*opening), out: make(map[endpoint]*opening), failed: make(map[endpoint]bool)}
	var err error
	if m.host, err = newLister(); err != nil {
		return nil, err
	}
	if err = ns.do(func() (err error) { m.inside, err = newLister(); return }); err != nil {
		m.host.close()
		return nil, err
	}
	return m, nil
}

// run keeps both sides alike until ctx is done. It has been called once when the first
// look is to be taken before the program starts.
func (m *mirror) run(ctx context.Context) {
	tick := time.NewTicker(mirrorEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			for _, open := range []map[endpoint]*opening{m.in, m.out} {
				for e := range open {
					end(open, e)
				}
			}
			m.wg.Wait()
			m.host.close()
			m.inside.close()
			return
		case <-tick.C:
			m.look(ctx)
		}
	}
}

// look opens and closes what has changed.
func (m *mirror) look(ctx context.Context) {
	inside, err := m.inside.list(m.ephemeral)
	host, herr := m.host.list(m.ephemeral)
	if err = errors.Join(err, herr); err != nil {
		if !m.broken {
			m.log.Warn("localhost's ports cannot be watched: the program does not see new ones", "err", err)
		}
		m.broken = true
		return
	}
	m.broken = false
	// What we opened ourselves is not to be mirrored back.
	m.update(ctx, m.out, inside, m.in, m.toHost)
	m.update(ctx, m.in, host, m.out, m.toInside)
}

// update makes open, on the one side, what listens on the other, but for our own there.
func (m *mirror) update(ctx context.Context, open map[endpoint]*opening, listening map[endpoint]bool, own map[endpoint]*opening, to func(context.Context, endpoint) (*opening, error)) {
	for e, o := range open {
		select {
		case <-o.ended:
			delete(open, e)
			continue
		default:
		}
		if !listening[e] {
			end(open, e)
			delete(m.failed, e)
		}
	}
	for e := range listening {
		if open[e] != nil || own[e] != nil || len(open) >= maxMirrored {
			continue
		}
		o, err := to(ctx, e)
		if err != nil {
			if !m.failed[e] && len(m.failed) < maxMirrored {
				m.failed[e] = true
				m.log.Debug("a port is not there on the other side", "port", e, "err", err)
			}
			continue
		}
		open[e] = o
	}
}

func end(open map[endpoint]*opening, e endpoint) {
	o := open[e]
	delete(open, e)
	o.close()
	<-o.ended
}

// toInside opens inside what listens on the host.
func (m *mirror) toInside(ctx context.Context, e endpoint) (*opening, error) {
	var d net.Dialer
	if isUDP(e) {
		var conn net.PacketConn
		err := m.ns.do(func() (err error) {
			conn, err = listenPacket(e)
			return
		})
		if err != nil {
			return nil, err
		}
		return m.relay(conn, func() (net.Conn, error) {
			return d.DialContext(ctx, "udp", netip.AddrPortFrom(loopbackOf(e.addr.Addr()), e.addr.Port()).String())
		}), nil
	}
	var ln net.Listener
	err := m.ns.do(func() (err error) {
		ln, err = net.Listen(e.network, e.addr.String())
		return
	})
	if err != nil {
		return nil, err
	}
	return m.serve(ctx, ln, func(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
		return d.DialContext(ctx, "tcp", to.String())
	}), nil
}

// toHost opens on the host what listens inside.
func (m *mirror) toHost(ctx context.Context, e endpoint) (*opening, error) {
	if isUDP(e) {
		conn, err := listenPacket(e)
		if err != nil {
			return nil, err
		}
		return m.relay(conn, func() (net.Conn, error) {
			return m.dialInside(unix.SOCK_DGRAM, netip.AddrPortFrom(loopbackOf(e.addr.Addr()), e.addr.Port()))
		}), nil
	}
	ln, err := net.Listen(e.network, e.addr.String())
	if err != nil {
		return nil, err
	}
	return m.serve(ctx, ln, func(_ context.Context, to netip.AddrPort) (net.Conn, error) {
		return m.dialInside(unix.SOCK_STREAM, to)
	}), nil
}

// listenPacket opens a UDP port, which others may then share as they do on one host, if
// they want to.
func listenPacket(e endpoint) (net.PacketConn, error) {
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) {
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1)
		})
	}}
	return lc.ListenPacket(context.Background(), e.network, e.addr.String())
}

// serve joins what ln accepts with the same port on the other side.
func (m *mirror) serve(ctx context.Context, ln net.Listener, dial func(context.Context, netip.AddrPort) (net.Conn, error)) *opening {
	p := &splice.Proxy{Log: m.log, Handle: func(ctx context.Context, conn net.Conn) error {
		to := conn.LocalAddr().(*net.TCPAddr).AddrPort()
		return splice.Connect(ctx, conn, func(ctx context.Context) (net.Conn, error) {
			return dial(ctx, netip.AddrPortFrom(loopbackOf(to.Addr().Unmap()), to.Port()))
		})
	}}
	// What is open goes on when nobody listens any more.
	p.End = ctx
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	m.wg.Go(func() {
		defer cancel()
		closed := make(chan struct{})
		go func() { // the port is free at once, also while connections are open
			defer close(closed)
			<-ctx.Done()
			ln.Close()
			close(ended)
		}()
		p.Serve(ctx, ln)
		cancel()
		<-closed
	})
	return &opening{cancel, ended}
}

// dialInside connects to an address of the namespace, to which the socket belongs from
// the start.
func (m *mirror) dialInside(kind int, to netip.AddrPort) (net.Conn, error) {
	family, sa := unix.AF_INET, unix.Sockaddr(&unix.SockaddrInet4{Port: int(to.Port())})
	if to.Addr().Is4() {
		sa.(*unix.SockaddrInet4).Addr = to.Addr().As4()
	} else {
		family, sa = unix.AF_INET6, &unix.SockaddrInet6{Port: int(to.Port()), Addr: to.Addr().As16()}
	}
	fd := -1
	err := m.ns.do(func() (err error) {
		fd, err = unix.Socket(family, kind|unix.SOCK_CLOEXEC, 0)
		return os.NewSyscallError("socket", err)
	})
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "inside")
	defer f.Close()
	// Within a host it takes no time, unless the program does not accept.
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{Sec: 5})
	if err := unix.Connect(fd, sa); err != nil {
		return nil, os.NewSyscallError("connect", err)
	}
	unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &unix.Timeval{})
	return net.FileConn(f)
}

// loopbackOf returns where to find, on the other side, what is at addr on this one.
func loopbackOf(addr netip.Addr) netip.Addr {
	switch {
	case addr.IsLoopback():
		return addr
	case addr.Is4():
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.IPv6Loopback()
}

func isUDP(e endpoint) bool { return strings.HasPrefix(e.network, "udp") }
