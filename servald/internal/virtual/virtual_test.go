package virtual

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/serval"
	"github.com/serval-net/serval/servald/internal/conntest"
	"github.com/serval-net/serval/servald/internal/nodetest"
	"github.com/serval-net/serval/servald/internal/outbound"
	"github.com/serval-net/serval/servald/internal/tun"
	"github.com/serval-net/serval/servald/internal/vaddr"
)

func TestMain(m *testing.M) { os.Exit(nodetest.Main(m)) }

// upper is a DNS that answers in capitals, and nothing to "silence".
type upper struct{}

func (upper) ServePacket(_ context.Context, query []byte, _ bool) []byte {
	if string(query) == "silence" {
		return nil
	}
	return bytes.ToUpper(query)
}

func (u upper) ServeStream(ctx context.Context, c net.Conn) {
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { c.Close() })
	defer stop()
	for {
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err != nil {
			return
		}
		b := make([]byte, binary.BigEndian.Uint16(size[:]))
		if _, err := io.ReadFull(c, b); err != nil {
			return
		}
		c.Write(append(size[:], u.ServePacket(ctx, b, true)...))
	}
}

// recorder is an Exit that remembers what it was asked for.
type recorder struct{ dst []netip.AddrPort }

var errExit = errors.New("exit")

func (r *recorder) Stream(_ context.Context, _, dst netip.AddrPort) (net.Conn, error) {
	r.dst = append(r.dst, dst)
	return nil, errExit
}

func (r *recorder) Datagrams(_ context.Context, _, dst netip.AddrPort) (tun.Datagrams, error) {
	r.dst = append(r.dst, dst)
	return nil, errExit
}

func (r *recorder) Ping(_ context.Context, dst netip.Addr) error {
	r.dst = append(r.dst, netip.AddrPortFrom(dst, 0))
	return errExit
}

var (
	client = netip.MustParseAddrPort("198.18.0.1:40000")
	shop   = sal.MustParseName("svc:shop")
)

// newHandler returns a handler over a cluster where svc:shop answers with the port that
// it was asked for and svc:echo sends datagrams back, and the addresses of svc:shop and of svc:none, which nobody serves.
func newHandler(t *testing.T) (h *Handler, pool *vaddr.Pool, served, unserved netip.Addr) {
	t.Helper()
	cluster := nodetest.New(t)
	server := cluster.Node()
	ln, err := server.Listen("svc:shop")
	must(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(c, "port %d", c.(*serval.Conn).Port())
			c.Close()
		}
	}()
	packets, err := cluster.Node().ListenPacket("svc:echo")
	must(t, err)
	echoed := make(chan struct{})
	go func() {
		defer close(echoed)
		conntest.EchoPackets(packets)
	}()
	t.Cleanup(func() { ln.Close(); packets.Close(); <-done; <-echoed })

	pool, err = vaddr.Open("", vaddr.Config{})
	must(t, err)
	t.Cleanup(func() { pool.Close() })
	served, _, err = pool.Addrs(shop)
	must(t, err)
	unserved, _, err = pool.Addrs(sal.MustParseName("svc:none"))
	must(t, err)
	return &Handler{Names: pool, Services: outbound.New(outbound.Config{Node: cluster.Node()}), DNS: upper{}}, pool, served, unserved
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestStreamsLeadToServices(t *testing.T) {
	h, _, v4, _ := newHandler(t)
	for _, addr := range []netip.Addr{v4, vaddr.IPv6(shop)} {
		conn, err := h.Stream(t.Context(), client, netip.AddrPortFrom(addr, 8080))
		must(t, err)
		got, err := io.ReadAll(conn)
		if err != nil || string(got) != "port 8080" {
			t.Errorf("%v: read %q, %v", addr, got, err)
		}
		if _, ok := conn.(stream); !ok {
			t.Errorf("a %T cannot be spliced", conn)
		}
		conn.Close()
	}
}

func TestDatagramsLeadToServices(t *testing.T) {
	h, pool, _, _ := newHandler(t)
	v4, _, err := pool.Addrs(sal.MustParseName("svc:echo"))
	must(t, err)
	d, err := h.Datagrams(t.Context(), client, netip.AddrPortFrom(v4, 5353))
	must(t, err)
	defer d.Close()
	must(t, d.SetReadDeadline(time.Now().Add(10*time.Second)))
	for _, port := range []uint16{5353, 69} {
		_, err := d.WriteTo([]byte("hello"), port)
		must(t, err)
		b := make([]byte, 100)
		n, from, err := d.ReadFrom(b)
		if err != nil || from != port || string(b[:n]) != "hello" {
			t.Errorf("port %d answered %q from port %d, %v", port, b[:n], from, err)
		}
	}
}

func TestPingReachesAnInstance(t *testing.T) {
	h, _, served, unserved := newHandler(t)
	must(t, h.Ping(t.Context(), served))
	if err := h.Ping(t.Context(), unserved); err == nil {
		t.Error("a service that nobody serves answered")
	}
	must(t, h.Ping(t.Context(), vaddr.Self6))
}

func TestWhatIsNotThere(t *testing.T) {
	h, pool, _, unserved := newHandler(t)
	v4, v6 := pool.Self()
	for _, x := range []struct {
		addr        netip.Addr
		unreachable bool
	}{
		{unserved, false},
		{v4, false}, {v6, false}, // no such port
		{netip.MustParseAddr("198.19.255.250"), true},         // nobody's
		{netip.MustParseAddr("fd5e:7276:616c::1234:1"), true}, // likewise
		{netip.MustParseAddr("192.0.2.1"), true},              // not ours, and no way out
	} {
		dst := netip.AddrPortFrom(x.addr, 80)
		if _, err := h.Stream(t.Context(), client, dst); err == nil || tun.IsUnreachable(err) != x.unreachable {
			t.Errorf("stream to %v: %v", x.addr, err)
		}
		if x.addr == v4 || x.addr == v6 {
			continue // its datagrams are refused port by port
		}
		if _, err := h.Datagrams(t.Context(), client, dst); err == nil || tun.IsUnreachable(err) != x.unreachable {
			t.Errorf("datagrams to %v: %v", x.addr, err)
		}
	}
}

func TestExitTakesTheRest(t *testing.T) {
	h, _, _, _ := newHandler(t)
	exit := &recorder{}
	h.Exit = exit
	dst := netip.MustParseAddrPort("192.0.2.1:443")
	_, err1 := h.Stream(t.Context(), client, dst)
	_, err2 := h.Datagrams(t.Context(), client, dst)
	err3 := h.Ping(t.Context(), dst.Addr())
	if err1 != errExit || err2 != errExit || err3 != errExit || len(exit.dst) != 3 || exit.dst[0] != dst {
		t.Errorf("%v, %v, %v for %v", err1, err2, err3, exit.dst)
	}
	// What is virtual never leaves.
	h.Stream(t.Context(), client, netip.MustParseAddrPort("198.19.255.250:1"))
	h.Ping(t.Context(), netip.MustParseAddr("fd5e:7276:616c::1234:1"))
	if len(exit.dst) != 3 {
		t.Errorf("virtual addresses left for %v", exit.dst[3:])
	}
}

func TestDNSByDatagrams(t *testing.T) {
	h, pool, _, _ := newHandler(t)
	self, _ := pool.Self()
	d, err := h.Datagrams(t.Context(), client, netip.AddrPortFrom(self, 53))
	must(t, err)
	if _, err := d.WriteTo([]byte("x"), 54); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("port 54: %v", err)
	}
	must(t, d.SetReadDeadline(time.Now().Add(10*time.Second)))
	d.WriteTo([]byte("silence"), 53)
	d.WriteTo([]byte("who?"), 53)
	b := make([]byte, 100)
	n, port, err := d.ReadFrom(b)
	if err != nil || port != 53 || string(b[:n]) != "WHO?" {
		t.Errorf("read %q from port %d, %v", b[:n], port, err)
	}
	must(t, d.SetReadDeadline(time.Now().Add(-time.Second)))
	if _, _, err := d.ReadFrom(b); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the deadline: %v", err)
	}
	must(t, d.Close())
	if _, _, err := d.ReadFrom(b); err == nil {
		t.Error("read after Close")
	}
}

// A client may say that it asks no more before it has the answers.
func TestDNSByStream(t *testing.T) {
	h, pool, _, _ := newHandler(t)
	_, self := pool.Self()
	conn, err := h.Stream(t.Context(), client, netip.AddrPortFrom(self, 53))
	must(t, err)
	defer conn.Close()
	must(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	conn.Write([]byte("\x00\x04who?"))
	go conn.(interface{ CloseWrite() error }).CloseWrite()
	got, err := io.ReadAll(conn)
	if err != nil || string(got) != "\x00\x04WHO?" {
		t.Errorf("read %q, %v", got, err)
	}
}

// A stream that is not read to its end does not keep its server.
func TestDNSStreamEndsWithItsClient(t *testing.T) {
	h, pool, _, _ := newHandler(t)
	self, _ := pool.Self()
	conn, err := h.Stream(t.Context(), client, netip.AddrPortFrom(self, 53))
	must(t, err)
	go conn.Write([]byte("\x00\x04who?"))
	must(t, conn.Close())
}
