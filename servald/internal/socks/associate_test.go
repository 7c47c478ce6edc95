package socks

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/servald/internal/conntest"
	"github.com/serval-net/serval/servald/internal/nodetest"
)

// TestAssociate: datagrams go to services and come back from the port that answered,
// and strangers cannot send any.
func TestAssociate(t *testing.T) {
	c := nodetest.New(t)
	c.EchoPackets("svc:echo")
	at := start(t, c, &Server{})
	a := associate(t, at)
	defer a.Close()
	for _, tc := range []struct {
		to   address
		text string
		from address
	}{
		{address{host: "echo.svc.serval", port: 53}, "hello", address{host: "echo.svc.serval", port: 53}},
		{address{host: "echo.svc.serval", port: 69}, "next hello", address{host: "echo.svc.serval", port: 70}},
		{address{addr: virtual, port: 53}, "hello", address{addr: virtual, port: 53}},
	} {
		a.send(t, tc.to, tc.text)
		from, text := a.receive(t)
		if from != tc.from || !strings.HasSuffix(text, " "+tc.text) {
			t.Errorf("%q to %v: %q came back from %v", tc.text, tc.to, text, from)
		}
	}
	// What is no service leads nowhere, and spoils nothing.
	a.send(t, address{host: "none.svc.serval", port: 1}, "lost")
	a.send(t, address{addr: netip.MustParseAddr("127.0.0.1"), port: 1}, "lost")
	a.udp.WriteTo([]byte{0, 0, 1, atypIPv4, 1, 2, 3, 4, 0, 80, 'x'}, a.relay) // a fragment
	a.udp.WriteTo([]byte{0}, a.relay)
	// Another program of the host cannot use the association.
	other, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	other.WriteTo(appendDatagram(nil, address{host: "echo.svc.serval", port: 53}), a.relay)
	a.send(t, address{host: "echo.svc.serval", port: 53}, "mine")
	if _, text := a.receive(t); !strings.HasSuffix(text, " mine") {
		t.Errorf("%q came back", text)
	}
	other.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, _, err := other.ReadFrom(make([]byte, 100)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a stranger was answered: %v", err)
	}
}

// udpClient is a client with an association.
type udpClient struct {
	net.Conn
	udp   net.PacketConn
	relay net.Addr
}

func associate(t *testing.T, at string) *udpClient {
	t.Helper()
	conn := conntest.Dial(t, at)
	conn.Write([]byte{5, 1, 0, 5, cmdAssociate, 0, atypIPv4, 0, 0, 0, 0, 0, 0})
	answer := make([]byte, 2+4+4+2)
	if _, err := io.ReadFull(conn, answer); err != nil || answer[3] != byte(Succeeded) {
		t.Fatalf("answer %x, %v", answer, err)
	}
	bound, _, err := cutAddress(answer[5], answer[6:])
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { udp.Close() })
	return &udpClient{conn, udp, net.UDPAddrFromAddrPort(netip.AddrPortFrom(bound.addr, bound.port))}
}

func (c *udpClient) send(t *testing.T, to address, text string) {
	t.Helper()
	if _, err := c.udp.WriteTo(append(appendDatagram(nil, to), text...), c.relay); err != nil {
		t.Fatal(err)
	}
}

func (c *udpClient) receive(t *testing.T) (from address, text string) {
	t.Helper()
	c.udp.SetReadDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, 2000)
	n, _, err := c.udp.ReadFrom(buf)
	if err != nil {
		t.Fatal(err)
	}
	from, data, err := cutDatagram(buf[:n])
	if err != nil {
		t.Fatal(err)
	}
	return from, string(data)
}
