package capture

import (
	"container/list"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/serval-net/serval/servald/internal/outbound"
	"github.com/serval-net/serval/servald/internal/relay"
)

// flowKey tells flows of datagrams apart: a client's port, and whom it sends to.
type flowKey struct {
	src netip.AddrPort
	dst netip.Addr
}

// datagrams is what comes to one socket, and the sockets that answers leave by.
type datagrams struct {
	c     *Capture
	udp   *net.UDPConn
	table *relay.Table[flowKey, netip.Addr]
	raw   *rawSender

	mu      sync.Mutex // what raw does not send leaves by sockets
	answers map[netip.AddrPort]*list.Element
	used    *list.List // of *answering, the longest unused first
}

// answering is a socket at somebody else's address.
type answering struct {
	at  netip.AddrPort
	udp *net.UDPConn
}

// maxAnswering is how many such sockets are kept.
const maxAnswering = 1024

// maxDatagram is more than UDP carries.
const maxDatagram = 64 << 10

func newDatagrams(c *Capture, udp *net.UDPConn) *datagrams {
	d := &datagrams{c: c, udp: udp, raw: newRawSender(), answers: make(map[netip.AddrPort]*list.Element), used: list.New()}
	d.table = &relay.Table[flowKey, netip.Addr]{
		Max: c.cfg.Max, Idle: c.cfg.UDPIdle, Log: c.cfg.Log,
		Open: func(ctx context.Context, k flowKey, _ netip.Addr, port uint16) (outbound.Datagrams, error) {
			return c.cfg.Handler.Datagrams(ctx, k.src, netip.AddrPortFrom(k.dst, port))
		},
		Deliver: d.deliver,
	}
	return d
}

// run takes datagrams until ctx is done, and then ends the flows: without the rules
// nothing of their clients would come here any more.
func (d *datagrams) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { d.udp.Close() })
	defer stop()
	defer d.udp.Close()
	defer d.close()
	b, oob := make([]byte, maxDatagram), make([]byte, 256)
	for {
		n, m, _, src, err := d.udp.ReadMsgUDPAddrPort(b, oob)
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return err
		}
		dst, ok := originalDatagram(oob[:m])
		if !ok || !slices.ContainsFunc(d.c.cfg.To, func(p netip.Prefix) bool { return p.Contains(dst.Addr()) }) {
			continue // sent to our port itself
		}
		src = netip.AddrPortFrom(src.Addr().Unmap(), src.Port())
		d.table.Send(flowKey{src, dst.Addr()}, src.Addr(), b[:n], dst.Port())
	}
}

func (d *datagrams) close() {
	d.table.Close()
	d.raw.close()
	d.mu.Lock()
	defer d.mu.Unlock()
	for e := d.used.Front(); e != nil; e = e.Next() {
		e.Value.(*answering).udp.Close()
	}
}

// deliver sends an answer from the address and port that the client knows.
func (d *datagrams) deliver(k flowKey, b []byte, port uint16) {
	at := netip.AddrPortFrom(k.dst, port)
	err := d.raw.send(at, k.src, b)
	if errors.Is(err, errNoRaw) {
		var udp *net.UDPConn
		if udp, err = d.from(at); err == nil {
			_, err = udp.WriteToUDPAddrPort(b, k.src)
		}
	}
	if err != nil {
		d.c.cfg.Log.Debug("an answer is lost", "from", k.dst, "to", k.src, "err", err)
	}
}

// from returns a socket at an address that is not ours.
func (d *datagrams) from(at netip.AddrPort) (*net.UDPConn, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e := d.answers[at]; e != nil {
		d.used.MoveToBack(e)
		return e.Value.(*answering).udp, nil
	}
	version := "4"
	if at.Addr().Is6() {
		version = "6"
	}
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		if err := transparent(raw, version); err != nil {
			return err
		}
		return raw.Control(func(fd uintptr) { unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1) })
	}}
	pc, err := lc.ListenPacket(context.Background(), "udp"+version, at.String())
	if err != nil {
		return nil, err
	}
	udp := pc.(*net.UDPConn)
	d.answers[at] = d.used.PushBack(&answering{at, udp})
	if d.used.Len() > maxAnswering {
		oldest := d.used.Remove(d.used.Front()).(*answering)
		delete(d.answers, oldest.at)
		oldest.udp.Close()
	}
	return udp, nil
}
