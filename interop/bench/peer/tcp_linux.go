package peer

import (
	"context"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// tcp is kernel TCP with the named congestion control, whatever the machine's
// default. Buffers are left to the kernel's own tuning.
type tcp struct{ congestion string }

func (t tcp) Listen(addr netip.AddrPort) (net.Listener, error) {
	config := net.ListenConfig{Control: t.control}
	config.SetMultipathTCP(false)
	return config.Listen(context.Background(), "tcp4", addr.String())
}

func (t tcp) Dial(ctx context.Context, addr netip.AddrPort) (net.Conn, error) {
	dialer := net.Dialer{Control: t.control}
	return dialer.DialContext(ctx, "tcp4", addr.String())
}

func (t tcp) control(_, _ string, c syscall.RawConn) error {
	var err error
	if e := c.Control(func(fd uintptr) {
		err = unix.SetsockoptString(int(fd), unix.IPPROTO_TCP, unix.TCP_CONGESTION, t.congestion)
	}); e != nil {
		return e
	}
	return err
}
