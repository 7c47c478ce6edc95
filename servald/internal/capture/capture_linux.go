package capture

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/user"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/serval-net/serval/servald/internal/door"
	"github.com/serval-net/serval/servald/internal/outbound"
	"github.com/serval-net/serval/servald/internal/splice"
)

// Capture is rules that are in force, and the listeners behind them.
type Capture struct {
	cfg    Config
	table  table
	gone   <-chan struct{}
	remove []func() error // in the order in which they are done

	streams   []net.Listener
	datagrams []*net.UDPConn

	once sync.Once
	err  error

	mu    sync.Mutex
	doors []*door.Door
	flows []*datagrams
}

// Open opens listeners and sets up the rules that lead to them. They work once Run is
// called. It needs CAP_NET_ADMIN and the program nft.
func Open(ctx context.Context, cfg Config) (*Capture, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	users, err := userIDs(cfg.Users, func(name string) (string, error) {
		u, err := user.Lookup(name)
		if err != nil {
			return "", err
		}
		return u.Uid, nil
	})
	if err != nil {
		return nil, err
	}
	c := &Capture{cfg: cfg, table: table{os.Getpid(), numberBase | uint32(rand.N(1<<16))}}
	at, err := c.listen(ctx)
	if err != nil {
		c.Close()
		return nil, err
	}
	gone, remove, err := install(ctx, c.table, func(owned bool) string { return c.table.rules(cfg, users, at, owned) })
	if err != nil {
		c.Close()
		return nil, err
	}
	c.gone, c.remove = gone, append(c.remove, remove)
	if cfg.Mode == TPROXY {
		c.remove = append(c.remove, func() error { return unroute(c.table.number) })
		if err := route(c.table.number, at); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// listen opens what each version of IP that is captured needs. Without IPv6 on this
// host there is none of it to capture.
func (c *Capture) listen(ctx context.Context) (at ports, err error) {
	v4, v6 := families(c.cfg.To)
	if len(v4) > 0 {
		if at.v4, err = c.listenOn(ctx, "4", "127.0.0.1", "0.0.0.0"); err != nil {
			return at, err
		}
	}
	if len(v6) > 0 {
		at.v6, err = c.listenOn(ctx, "6", "::1", "::")
		if errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL) {
			c.cfg.Log.Info("this host has no IPv6, none is captured")
			err = nil
		}
	}
	return at, err
}

// listenOn opens listeners for a version of IP on one port. Only the redirected traffic
// of clients comes to addresses other than loopback.
func (c *Capture) listenOn(ctx context.Context, version, loopback, all string) (port uint16, err error) {
	host := loopback
	if c.cfg.Mode == Redirect && c.cfg.From != Host {
		host = all
	}
	var lc net.ListenConfig
	if c.cfg.Mode == TPROXY {
		lc.Control = func(_, _ string, raw syscall.RawConn) error { return transparent(raw, version) }
	}
	for try := range 10 {
		ln, err := lc.Listen(ctx, "tcp"+version, net.JoinHostPort(host, "0"))
		if err != nil {
			return 0, fmt.Errorf("capture: %w", err)
		}
		port = ln.Addr().(*net.TCPAddr).AddrPort().Port()
		if c.cfg.Mode == Redirect {
			c.streams = append(c.streams, ln)
			return port, nil
		}
		// Datagrams come to the same number, which somebody may have.
		udp, err := lc.ListenPacket(ctx, "udp"+version, net.JoinHostPort(host, fmt.Sprint(port)))
		if err == nil {
			c.streams, c.datagrams = append(c.streams, ln), append(c.datagrams, udp.(*net.UDPConn))
			return port, nil
		}
		ln.Close()
		if !errors.Is(err, syscall.EADDRINUSE) || try == 9 {
			return 0, fmt.Errorf("capture: %w", err)
		}
	}
	return 0, errors.New("capture: no port is free for both TCP and UDP")
}

// transparent lets a socket take what is for any address, and learn which.
func transparent(raw syscall.RawConn, version string) error {
	var err error
	cerr := raw.Control(func(fd uintptr) {
		if version == "6" {
			err = errors.Join(unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_TRANSPARENT, 1),
				unix.SetsockoptInt(int(fd), unix.SOL_IPV6, unix.IPV6_RECVORIGDSTADDR, 1))
			return
		}
		err = errors.Join(unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_TRANSPARENT, 1),
			unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_RECVORIGDSTADDR, 1))
	})
	if cerr != nil {
		return cerr
	}
	if errors.Is(err, unix.EPERM) {
		return fmt.Errorf("taking traffic for other addresses needs root or CAP_NET_ADMIN: %w", err)
	}
	return err
}

// Run serves what is captured until ctx is done; then, as after Close, nothing more is
// captured, and what is open goes on until end is done. It returns an error if the
// rules vanish before. When it returns nothing that it started runs any more.
func (c *Capture) Run(ctx, end context.Context) error {
	running, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	errs := make(chan error, len(c.streams)+len(c.datagrams)+1)
	for _, ln := range c.streams {
		d := &door.Door{Via: "capture", Handle: c.handle, Settings: door.Settings{Max: c.cfg.Max, End: end, Log: c.cfg.Log}}
		c.mu.Lock()
		c.doors = append(c.doors, d)
		c.mu.Unlock()
		wg.Go(func() { errs <- d.Serve(running, ln); cancel() })
	}
	for _, udp := range c.datagrams {
		f := newDatagrams(c, udp)
		c.mu.Lock()
		c.flows = append(c.flows, f)
		c.mu.Unlock()
		wg.Go(func() { errs <- f.run(running); cancel() })
	}
	select {
	case <-running.Done():
	case <-c.gone:
		if ctx.Err() == nil {
			errs <- errors.New("capture: somebody has removed the rules")
		}
		cancel()
	}
	err := c.Close()
	wg.Wait()
	close(errs)
	for e := range errs {
		if e != nil && ctx.Err() == nil {
			err = e
		}
	}
	return err
}

// handle joins a captured connection with the service that it is for.
func (c *Capture) handle(ctx context.Context, client outbound.Client, conn net.Conn) error {
	return splice.Connect(ctx, conn, func(ctx context.Context) (net.Conn, error) {
		dst, err := c.destination(conn)
		if err != nil {
			return nil, err
		}
		return c.cfg.Handler.Stream(ctx, client.Addr, dst)
	})
}

// destination is where a connection was to go. One that was not captured, but made to
// our port, is refused.
func (c *Capture) destination(conn net.Conn) (netip.AddrPort, error) {
	dst := conn.LocalAddr().(*net.TCPAddr).AddrPort()
	if c.cfg.Mode == Redirect {
		var err error
		if dst, err = original(conn); err != nil {
			return dst, fmt.Errorf("it was not captured: %w", err)
		}
	}
	dst = netip.AddrPortFrom(dst.Addr().Unmap(), dst.Port())
	if !slices.ContainsFunc(c.cfg.To, func(p netip.Prefix) bool { return p.Contains(dst.Addr()) }) {
		return dst, fmt.Errorf("it was not captured, it is for %v", dst)
	}
	return dst, nil
}

// Active returns how many connections and flows of datagrams are open.
func (c *Capture) Active() (streams, flows int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.doors {
		streams += d.Active()
	}
	for _, f := range c.flows {
		flows += f.table.Len()
	}
	return streams, flows
}

// Close removes the rules and closes the listeners. Connections go on; without the
// rules, flows of datagrams cannot.
func (c *Capture) Close() error {
	c.once.Do(func() {
		for _, remove := range c.remove {
			c.err = errors.Join(c.err, remove())
		}
		for _, ln := range c.streams {
			ln.Close()
		}
		for _, udp := range c.datagrams {
			udp.Close()
		}
	})
	return c.err
}
