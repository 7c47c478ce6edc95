package tun

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// memory is a Device in memory: what in has is read, what is written comes out of out.
type memory struct {
	in, out chan []byte
	closed  chan struct{}
	once    sync.Once
}

func newMemory() *memory {
	return &memory{in: make(chan []byte), out: make(chan []byte, 64), closed: make(chan struct{})}
}

func (m *memory) MTU() int { return DefaultMTU }

func (m *memory) Read(b []byte) (int, error) {
	select {
	case p := <-m.in:
		return copy(b, p), nil
	case <-m.closed:
		return 0, os.ErrClosed
	}
}

func (m *memory) Write(b []byte) (int, error) {
	select {
	case m.out <- append([]byte(nil), b...):
		return len(b), nil
	default:
		return 0, syscall.EAGAIN
	}
}

func (m *memory) Close() error {
	m.once.Do(func() { close(m.closed) })
	return nil
}

// startMemory runs a stack behind a device in memory until the test ends.
func startMemory(t testing.TB, h Handler, cfg Config) (*memory, *Stack) {
	t.Helper()
	dev := newMemory()
	s, err := New(dev, h, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return dev, s
}

// next is the next packet that comes out.
func (m *memory) next(t testing.TB) []byte {
	t.Helper()
	select {
	case p := <-m.out:
		return p
	case <-time.After(20 * time.Second):
		t.Fatal("no packet")
		return nil
	}
}

var (
	client4, server4 = netip.MustParseAddrPort("198.18.0.1:40000"), netip.MustParseAddrPort("198.18.0.7:80")
	client6, server6 = netip.MustParseAddrPort("[fd5e:7276:616c::1]:40000"), netip.MustParseAddrPort("[fd5e:7276:616c::7]:80")
)

// synPacket is a SYN with a whole checksum.
func synPacket(src, dst netip.AddrPort, seq uint32) []byte {
	h := make(header.TCP, header.TCPMinimumSize)
	h.Encode(&header.TCPFields{
		SrcPort: src.Port(), DstPort: dst.Port(), SeqNum: seq,
		DataOffset: header.TCPMinimumSize, Flags: header.TCPFlagSyn, WindowSize: 1000,
	})
	h.SetChecksum(^checksum.Checksum(h, pseudo(header.TCPProtocolNumber, src, dst, len(h))))
	return appendIP(nil, header.TCPProtocolNumber, src.Addr(), dst.Addr(), h)
}

func pseudo(proto tcpip.TransportProtocolNumber, src, dst netip.AddrPort, n int) uint16 {
	return header.PseudoHeaderChecksum(proto, fromAddr(src.Addr()), fromAddr(dst.Addr()), uint16(n))
}

// errorOf takes an ICMP error apart.
func errorOf(t *testing.T, p []byte) (typ, code byte, quoted []byte) {
	t.Helper()
	if header.IPVersion(p) == 4 {
		ip := header.IPv4(p)
		if !ip.IsValid(len(p)) || !ip.IsChecksumValid() || ip.TransportProtocol() != header.ICMPv4ProtocolNumber {
			t.Fatalf("not ICMP: %x", p)
		}
		b := header.ICMPv4(ip.Payload())
		if checksum.Checksum(b, 0) != 0xffff {
			t.Error("wrong checksum")
		}
		return byte(b.Type()), byte(b.Code()), b[8:]
	}
	ip := header.IPv6(p)
	if !ip.IsValid(len(p)) || tcpip.TransportProtocolNumber(ip.NextHeader()) != header.ICMPv6ProtocolNumber {
		t.Fatalf("not ICMP: %x", p)
	}
	b := header.ICMPv6(ip.Payload())
	if checksum.Checksum(b, header.PseudoHeaderChecksum(header.ICMPv6ProtocolNumber, ip.SourceAddress(), ip.DestinationAddress(), uint16(len(b)))) != 0xffff {
		t.Error("wrong checksum")
	}
	return byte(b.Type()), byte(b.Code()), b[8:]
}

// An error quotes what it is about as the client sent it: ports and sequence number are
// how its kernel knows.
func TestErrorsQuoteTheirCause(t *testing.T) {
	dev, _ := startMemory(t, fake{
		stream:    func(context.Context, netip.AddrPort, netip.AddrPort) (net.Conn, error) { return nil, ErrUnreachable },
		datagrams: func(context.Context, netip.AddrPort, netip.AddrPort) (Datagrams, error) { return nil, errors.New("no") },
	}, Config{})
	for _, x := range []struct {
		src, dst            netip.AddrPort
		typ, noHost, noPort byte
		ip                  int
	}{{client4, server4, 3, 1, 3, 20}, {client6, server6, 1, 3, 4, 40}} {
		sent := synPacket(x.src, x.dst, 0xdeadbeef)
		dev.in <- sent
		typ, code, quoted := errorOf(t, dev.next(t))
		if typ != x.typ || code != x.noHost || string(quoted[x.ip:x.ip+8]) != string(sent[x.ip:x.ip+8]) {
			t.Errorf("%v: answer to a SYN: type %d, code %d, %x", x.dst, typ, code, quoted)
		}
		sent = datagramPacket(x.src, x.dst, random(5000))
		dev.in <- sent
		typ, code, quoted = errorOf(t, dev.next(t))
		if typ != x.typ || code != x.noPort || len(quoted) < 500 || len(quoted) > 1240 || string(quoted) != string(sent[:len(quoted)]) {
			t.Errorf("%v: answer to a datagram: type %d, code %d, %d bytes", x.dst, typ, code, len(quoted))
		}
	}
}

func TestRefusalIsAReset(t *testing.T) {
	dev, _ := startMemory(t, fake{}, Config{})
	for _, x := range [][2]netip.AddrPort{{client4, server4}, {client6, server6}} {
		dev.in <- synPacket(x[0], x[1], 77)
		p := dev.next(t)
		size, _, ok := inspect(p)
		if !ok {
			t.Fatalf("not a good packet: %x", p)
		}
		h := header.TCP(p[size-header.TCPMinimumSize:])
		if h.Flags() != header.TCPFlagRst|header.TCPFlagAck || h.AckNumber() != 78 || h.DestinationPort() != x[0].Port() {
			t.Errorf("%v: %v", x[1], h)
		}
	}
}

// A forwarded packet that was damaged on its way is dropped; one that this host made has
// half a checksum and is taken.
func TestChecksums(t *testing.T) {
	for _, x := range [][2]netip.AddrPort{{client4, server4}, {client6, server6}} {
		good := synPacket(x[0], x[1], 1)
		at := len(good) - header.TCPMinimumSize
		for name, c := range map[string]struct {
			change func([]byte)
			ok     bool
		}{
			"whole":   {func([]byte) {}, true},
			"half":    {func(b []byte) { header.TCP(b).SetChecksum(pseudo(header.TCPProtocolNumber, x[0], x[1], len(b))) }, true},
			"damaged": {func(b []byte) { b[5] ^= 0x10 }, false},
			"none":    {func(b []byte) { header.TCP(b).SetChecksum(0) }, false},
		} {
			p := append([]byte(nil), good...)
			c.change(p[at:])
			if _, _, ok := inspect(p); ok != c.ok {
				t.Errorf("%v, %s checksum: taken is %v", x[1], name, ok)
			}
		}
	}
}

func TestNotTaken(t *testing.T) {
	good := synPacket(client4, server4, 1)
	cut := func(n int) []byte { return good[:n] }
	multicast := synPacket(client4, netip.MustParseAddrPort("224.0.0.251:80"), 1)
	broadcast := synPacket(client4, netip.MustParseAddrPort("255.255.255.255:80"), 1)
	multicast6 := synPacket(client6, netip.MustParseAddrPort("[ff02::fb]:80"), 1)
	long := append([]byte(nil), good...)
	header.IPv4(long).SetTotalLength(41)
	for name, p := range map[string][]byte{
		"nothing": {}, "a byte": cut(1), "half a header": cut(10), "no TCP": cut(20), "half of TCP": cut(30), "too long": long,
		"IPv4 multicast": multicast, "broadcast": broadcast, "IPv6 multicast": multicast6, "IPv5": {0x50, 0, 0, 20},
	} {
		if _, _, ok := inspect(p); ok {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestMTU(t *testing.T) {
	for _, mtu := range []int{-1, 0, 576, 1279, 65536} {
		if _, err := New(mtuDevice{newMemory(), mtu}, fake{}, Config{}); err == nil {
			t.Errorf("an MTU of %d was taken", mtu)
		}
	}
}

type mtuDevice struct {
	*memory
	mtu int
}

func (d mtuDevice) MTU() int { return d.mtu }

// The device's own end is an error, and leaves nothing running.
func TestDeviceThatFails(t *testing.T) {
	dev := newMemory()
	done := make(chan error, 1)
	go func() { done <- Run(context.Background(), dev, fake{}, Config{}) }()
	dev.Close()
	if err := <-done; !errors.Is(err, os.ErrClosed) {
		t.Errorf("Run returned %v", err)
	}
}

// FuzzPackets feeds a stack with whatever a program with raw sockets can send.
func FuzzPackets(f *testing.F) {
	for _, p := range [][]byte{
		synPacket(client4, server4, 1), synPacket(client6, server6, 1),
		datagramPacket(client4, server4, nil), datagramPacket(client6, server6, random(100)),
		appendIP(nil, header.ICMPv4ProtocolNumber, client4.Addr(), server4.Addr(), []byte{8, 0, 0xf7, 0xff, 0, 0, 0, 0}),
		appendIP(nil, header.ICMPv6ProtocolNumber, client6.Addr(), server6.Addr(), []byte{128, 0, 0, 0, 0, 1, 0, 1}),
		appendIP(nil, header.ICMPv4ProtocolNumber, client4.Addr(), server4.Addr(), []byte{8}),
		appendIP(nil, 44, client6.Addr(), server6.Addr(), []byte{17, 0, 0, 1, 0, 0, 0, 7, 1, 2, 3, 4, 5, 6, 7, 8}),
		appendIP(nil, 0, client6.Addr(), server6.Addr(), []byte{6, 0, 5, 2, 0, 0, 1, 0}),
	} {
		f.Add(p, p)
	}
	d := Datagrams(newBox(func() {}))
	s, err := New(discard{newMemory()}, fake{
		stream: func(context.Context, netip.AddrPort, netip.AddrPort) (net.Conn, error) { return nil, ErrUnreachable },
		datagrams: func(_ context.Context, src, _ netip.AddrPort) (Datagrams, error) {
			if src.Port()%2 == 0 {
				return nil, syscall.ECONNREFUSED
			}
			return d, nil
		},
		ping: func(context.Context, netip.Addr) error { return nil },
	}, Config{MaxFlows: 16, FlowIdle: time.Millisecond})
	if err != nil {
		f.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	f.Cleanup(func() {
		stop()
		<-done
	})
	in := s.dev.(discard).in
	f.Fuzz(func(t *testing.T, a, b []byte) {
		in <- a
		in <- b
	})
}

// discard is a memory that takes all packets.
type discard struct{ *memory }

func (discard) Write(b []byte) (int, error) { return len(b), nil }
