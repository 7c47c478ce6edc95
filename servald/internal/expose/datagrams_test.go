package expose

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"testing"
	"time"

	proxyproto "github.com/pires/go-proxyproto"

	"github.com/serval-net/serval/pkg/serval"
	"github.com/serval-net/serval/servald/internal/conntest"
)

// packets is a UDP socket on loopback, closed when the test ends.
func (w world) packets() *net.UDPConn {
	w.Helper()
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	return c
}

// say sends a datagram to a port of a service and returns the answer, and the port
// that it is from.
func (w world) say(c *serval.Conn, text string, port uint16) (string, uint16) {
	w.Helper()
	if _, err := c.WritePort([]byte(text), port); err != nil {
		w.Fatal(err)
	}
	b, from, err := c.ReadMessage()
	if err != nil {
		w.Fatal(err)
	}
	return string(b), from
}

// TestDatagrams: a UDP server tells clients apart by their sockets, and answers each,
// also with nothing, and with a lot.
func TestDatagrams(t *testing.T) {
	w := newWorld(t)
	server := w.packets()
	seen := make(chan netip.AddrPort, 100)
	go func() {
		buf := make([]byte, 64<<10)
		for {
			n, from, err := server.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			seen <- from
			server.WriteToUDPAddrPort(buf[:n], from)
		}
	}()
	s := &Server{Config: Config{Name: "svc:u", To: "udp:" + server.LocalAddr().String()}}
	w.serve(s)
	at := make(map[netip.AddrPort]bool)
	for i := range 3 {
		c := w.dial("udp", "svc:u", uint16(5000*i)) // the first has no port
		for _, text := range []string{"hello", "", string(bytes.Repeat([]byte{'x'}, c.MaxDatagram()))} {
			got, from := w.say(c, text, 0)
			if got != text || from != uint16(5000*i) {
				t.Errorf("said %.10q to port %d, %.10q came back from %d", text, 5000*i, got, from)
			}
			at[<-seen] = true
		}
	}
	if len(at) != 3 {
		t.Errorf("3 clients have %d sockets", len(at))
	}
	if n := s.Status().Connections; n != 3 {
		t.Errorf("%d sessions", n)
	}
	if _, err := w.client.Dial("svc:u"); err == nil {
		t.Error("a UDP server takes streams")
	}
}

// TestBothKinds: a name server has UDP and TCP behind one name.
func TestBothKinds(t *testing.T) {
	w := newWorld(t)
	server := w.packets()
	go conntest.EchoPackets(server)
	addr := server.LocalAddr().String()
	ln, err := net.Listen("tcp4", addr)
	if err != nil {
		t.Skip("the port is taken:", err)
	}
	defer ln.Close()
	go conntest.Echo(ln)
	w.serve(&Server{Config: Config{Name: "svc:dns", To: "tcp+udp:" + addr}})
	if got, err := w.ask("svc:dns", 53, "query"); got != "query" || err != nil {
		t.Errorf("TCP answers %q, %v", got, err)
	}
	if got, _ := w.say(w.dial("udp", "svc:dns", 53), "query", 53); got != "query" {
		t.Errorf("UDP answers %q", got)
	}
}

// TestAnswersFromNewPorts: tftp (RFC 1350) answers a request from a port of its own,
// where the client then sends to; whatever port was asked first.
func TestAnswersFromNewPorts(t *testing.T) {
	for name, to := range map[string]string{"fixed": "udp:127.0.0.1:%d", "said": "udp:127.0.0.1"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			request, transfer := w.packets(), w.packets()
			asked := portOf(request.LocalAddr().String())
			go func() {
				buf := make([]byte, 100)
				for {
					_, from, err := request.ReadFromUDPAddrPort(buf)
					if err != nil {
						return
					}
					transfer.WriteToUDPAddrPort([]byte("data 1"), from)
				}
			}()
			go func() {
				buf := make([]byte, 100)
				for {
					n, from, err := transfer.ReadFromUDPAddrPort(buf)
					if err != nil {
						return
					}
					transfer.WriteToUDPAddrPort([]byte("after "+string(buf[:n])), from)
				}
			}()
			c := Config{Name: "svc:tftp", To: to}
			if name == "fixed" {
				c.To = fmt.Sprintf(to, asked)
			} else {
				c.Ports = []string{strconv.Itoa(int(asked))}
			}
			w.serve(&Server{Config: c})
			client := w.dial("udp", "svc:tftp", asked)
			got, from := w.say(client, "read file", asked)
			if want := portOf(transfer.LocalAddr().String()); got != "data 1" || from != want {
				t.Fatalf("%q from port %d, want port %d", got, from, want)
			}
			if got, again := w.say(client, "ack 1", from); got != "after ack 1" || again != from {
				t.Errorf("%q from port %d", got, again)
			}
		})
	}
}

// TestStrangersAreNotHeard: only the server's answers come back, and only to ports
// that are allowed does anything go.
func TestStrangersAreNotHeard(t *testing.T) {
	w := newWorld(t)
	server, secret := w.packets(), w.packets()
	seen := make(chan netip.AddrPort, 1)
	go func() {
		buf := make([]byte, 100)
		for {
			n, from, err := server.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			if string(buf[:n]) == "first" {
				seen <- from
				continue
			}
			server.WriteToUDPAddrPort(buf[:n], from)
		}
	}()
	port := portOf(server.LocalAddr().String())
	w.serve(&Server{Config: Config{Name: "svc:u", To: "udp:127.0.0.1", Ports: []string{strconv.Itoa(int(port))}}})
	c := w.dial("udp", "svc:u", port)
	if _, err := c.WritePort([]byte("first"), 0); err != nil {
		t.Fatal(err)
	}
	at := <-seen
	if !at.Addr().IsLoopback() {
		t.Errorf("the socket for a server on this host is at %v", at)
	}
	stranger, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 2)})
	if err != nil {
		t.Skip("127.0.0.2 is not to be had:", err)
	}
	defer stranger.Close()
	stranger.WriteToUDPAddrPort([]byte("forged"), at)
	c.WritePort([]byte("psst"), portOf(secret.LocalAddr().String()))
	if got, _ := w.say(c, "second", port); got != "second" {
		t.Errorf("%q came back", got)
	}
	secret.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, from, err := secret.ReadFrom(make([]byte, 100)); err == nil {
		t.Errorf("%d bytes reached a port that is not allowed, from %v", n, from)
	}
}

// TestSessionsEnd: with their client, and when they are idle for long.
func TestSessionsEnd(t *testing.T) {
	w := newWorld(t)
	server := w.packets()
	go conntest.EchoPackets(server)
	s := &Server{Config: Config{Name: "svc:u", To: "udp:" + server.LocalAddr().String(), UDPIdle: 300 * time.Millisecond}}
	w.serve(s)
	gone, idle, busy := w.dial("udp", "svc:u", 1), w.dial("udp", "svc:u", 1), w.dial("udp", "svc:u", 1)
	for _, c := range []*serval.Conn{gone, idle, busy} {
		w.say(c, "hello", 0)
	}
	if n := s.Status().Connections; n != 3 {
		t.Fatalf("%d sessions", n)
	}
	gone.Close()
	eventually(t, "one is left", func() bool { w.say(busy, "still here", 0); return s.Status().Connections == 1 })
	if _, _, err := idle.ReadMessage(); err == nil {
		t.Error("the idle client does not hear of the end")
	}
	if got, _ := w.say(busy, "really", 0); got != "really" {
		t.Errorf("%q came back", got)
	}
}

// TestProxyProtocolOfDatagrams: each has a header.
func TestProxyProtocolOfDatagrams(t *testing.T) {
	w := newWorld(t)
	server := w.packets()
	w.serve(&Server{Config: Config{Name: "svc:u", To: "udp:" + server.LocalAddr().String(), Proxy: ProxyV2}})
	c := w.dial("udp", "svc:u", 53)
	buf := make([]byte, 2000)
	for _, port := range []uint16{53, 53, 5353} {
		if _, err := c.WritePort([]byte("query"), port); err != nil {
			t.Fatal(err)
		}
		n, _, err := server.ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		r := bufio.NewReader(bytes.NewReader(buf[:n]))
		h, err := proxyproto.Read(r)
		if err != nil {
			t.Fatal(err)
		}
		src, dst, ok := h.UDPAddrs()
		if !ok || src.Port == 0 || dst.Port != int(port) {
			t.Errorf("the header says %v to %v, want port %d", src, dst, port)
		}
		if rest, _ := r.Peek(5); string(rest) != "query" {
			t.Errorf("%q comes after the header", rest)
		}
	}
}
