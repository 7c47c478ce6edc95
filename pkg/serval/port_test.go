package serval

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/simnet"
	"github.com/serval-net/serval/pkg/sal"
)

// TestPort: both ends of a stream know the port that was dialled, straight or
// through routers, and with a cookie.
func TestPort(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		port    uint16
		routers int
		cookies bool
	}{
		{name: "none"},
		{name: "straight", port: 80},
		{name: "highest", port: 65535},
		{name: "routers", port: 443, routers: 3},
		{name: "as many routers as there may be", port: 443, routers: sal.MaxSources},
		{name: "cookie", port: 8080, cookies: true},
		{name: "cookie and routers", port: 8080, cookies: true, routers: 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			l := newLab(t)
			client, server := l.node(1), l.nodeWith(Config{Resolver: new(book)}, ip(2))
			lis, err := server.Listen("svc:web")
			must(t, err)
			first := at(2)
			for i := range tt.routers {
				r := l.nodeWith(Config{Forward: true}, ip(20-i))
				forward(t, r, "svc:web", first)
				first = at(20 - i)
			}
			l.add("svc:web", first)
			if tt.cookies {
				l.crowd(server, "svc:web")
			}
			rec := l.record()
			d := Dialer{Node: client, Port: tt.port}
			c, err := d.DialConn(t.Context(), "tcp", "web.svc.serval:99") // the port in a name means nothing
			must(t, err)
			defer c.Close()
			a, err := lis.AcceptConn()
			must(t, err)
			defer a.Close()
			if c.Port() != tt.port || a.Port() != tt.port {
				t.Errorf("dialled port %d: %d here, %d there", tt.port, c.Port(), a.Port())
			}
			if got := c.RemoteAddr().(*Addr); got.Port != tt.port || got.Service != "svc:web" {
				t.Errorf("RemoteAddr is %v", got)
			}
			if got := a.LocalAddr().(*Addr); got.Port != tt.port {
				t.Errorf("LocalAddr of the accepted end is %v", got)
			}
			if got := a.RemoteAddr().(*Addr); got.Port != 0 {
				t.Errorf("RemoteAddr of the accepted end is %v", got)
			}
			go echoOn(a)
			must(t, ask(c, "hello"))
			if n := rec.count(sal.TypeSYN, anyone, anyone); n < tt.routers+1 {
				t.Errorf("%d SYNs over %d routers", n, tt.routers)
			}
			if n := rec.count(sal.TypeCookie, anyone, anyone); (n > 0) != tt.cookies {
				t.Errorf("%d cookies", n)
			}
		})
	}
}

// crowd makes a node ask those who dial it for a cookie.
func (l *lab) crowd(n *Node, service string) {
	l.Helper()
	for i := range 300 {
		l.net.Inject(netip.AddrPortFrom(ip(1000+i), 4444), n.at(), synFor(service))
	}
	eventually(l, "the server asks for cookies", func() bool { return n.Stats().Flows >= 256 })
}

// ported is a client whose datagrams have ports, and a datagram service.
func (l *lab) ported(port uint16) (d *Dialer, p *PacketConn) {
	l.Helper()
	client, server := l.node(1), l.node(2)
	p, err := server.ListenPacket("svc:files")
	must(l, err)
	l.Cleanup(func() { p.Close() })
	p.SetReadDeadline(time.Now().Add(30 * time.Second))
	return &Dialer{Node: client, Port: port}, p
}

// portedConn is a connection with that port to a datagram service that echoes.
func (l *lab) portedConn(port uint16) (c *Conn, server *PacketConn) {
	l.Helper()
	d, server := l.ported(port)
	go echoPackets(server)
	c, err := d.DialConn(l.Context(), "udp", "svc:files")
	must(l, err)
	l.Cleanup(func() { c.Close() })
	c.SetReadDeadline(time.Now().Add(30 * time.Second))
	return c, server
}

// TestAnswerFromAnotherPort is what a TFTP server does: asked at port 69, it
// answers from a new one, and the client goes on with that.
func TestAnswerFromAnotherPort(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	d, server := l.ported(69)
	client, err := d.DialPacket()
	must(t, err)
	defer client.Close()
	client.SetReadDeadline(time.Now().Add(30 * time.Second))
	buf := make([]byte, 1000)
	read := func(p *PacketConn, text string, port uint16) *Addr {
		t.Helper()
		n, from, err := p.ReadFrom(buf)
		must(t, err)
		a := from.(*Addr)
		if string(buf[:n]) != text || a.Port != port {
			t.Fatalf("read %q with port %d, want %q with %d", buf[:n], a.Port, text, port)
		}
		return a
	}
	_, err = client.WriteTo([]byte("get a"), &Addr{Service: "svc:files"})
	must(t, err)
	from := read(server, "get a", 69)
	_, err = server.WriteTo([]byte("as asked"), from)
	must(t, err)
	if a := read(client, "as asked", 69); a.Service != "svc:files" || a.Instance != server.node.ID() {
		t.Errorf("from %v", a)
	}
	from.Port = 40001
	_, err = server.WriteTo([]byte("block 1"), from)
	must(t, err)
	to := read(client, "block 1", 40001)
	_, err = client.WriteTo([]byte("ack 1"), to)
	must(t, err)
	read(server, "ack 1", 40001)
	from.Port = 0 // as dialled
	_, err = server.WriteTo([]byte("bye"), from)
	must(t, err)
	read(client, "bye", 69)
	_, err = client.WriteTo([]byte("get b"), &Addr{Service: "svc:files", Port: 1069}) // each datagram has its own
	must(t, err)
	read(server, "get b", 1069)
	bound, err := client.Bind(t.Context(), "svc:files")
	must(t, err)
	if bound.Port != 69 {
		t.Errorf("bound to %v", bound)
	}
	n, err := client.WriteAll(t.Context(), "svc:files", []byte("all"))
	if n != 1 || err != nil {
		t.Errorf("written to %d, %v", n, err)
	}
	read(server, "all", 69)
	if got := server.node.Stats().Connections; got != 1 {
		t.Errorf("%d connections for one client", got)
	}
}

// TestPortsOfConn: a datagram Conn tells and takes ports, and its longest datagram
// is as long as it says.
func TestPortsOfConn(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	c, _ := l.portedConn(5060)
	client := c.link.node
	plain, err := client.DialConn(t.Context(), "udp", "svc:files")
	must(t, err)
	defer plain.Close()
	if c.Port() != 5060 || plain.Port() != 0 {
		t.Errorf("ports %d and %d", c.Port(), plain.Port())
	}
	buf := make([]byte, 64<<10)
	for _, n := range []int{0, 1, SafeDatagram - 2, c.MaxDatagram(), c.MaxDatagram() + 1, 1472, 9000, longestDatagram} {
		for _, port := range []uint16{0, 1, 5060, 65535} {
			msg := noise(n)
			m, err := c.WritePort(msg, port)
			if m != n || err != nil {
				t.Fatalf("wrote %d of %d bytes to port %d: %v", m, n, port, err)
			}
			m, from, err := c.ReadPort(buf)
			if want := cmp.Or(port, 5060); err != nil || !bytes.Equal(buf[:m], msg) || from != want {
				t.Fatalf("%d bytes to port %d: %d bytes back from %d, %v", n, port, m, from, err)
			}
		}
	}
	if _, err := c.Write(make([]byte, longestDatagram+1)); !errors.Is(err, syscall.EMSGSIZE) {
		t.Errorf("sending too much: %v", err)
	}
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Error(err)
	}
	if n, err := c.Read(buf); err != nil || string(buf[:n]) != "hello" {
		t.Errorf("read %q, %v", buf[:n], err)
	}
	// Without a port there is none to choose.
	_, err = plain.WritePort([]byte("x"), 7)
	sentence(t, err, ErrRefused, "svc:files", "Dialer.Port")
	p := l.socket(client)
	_, err = p.WriteTo([]byte("x"), &Addr{Service: "svc:files", Port: 7})
	sentence(t, err, ErrRefused, "svc:files", "Dialer.Port")
	if _, err = p.WriteTo([]byte("x"), &Addr{Service: "svc:files"}); err != nil {
		t.Error(err)
	}
	if n, from, err := p.ReadFrom(buf); err != nil || n != 1 || from.(*Addr).Port != 0 {
		t.Errorf("read %d bytes from %v, %v", n, from, err)
	}
	stream, _ := l.pairOn(client, l.node(3))
	if _, _, err := stream.ReadPort(buf); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("ReadPort of a stream: %v", err)
	}
	if _, err := stream.WritePort(buf, 1); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("WritePort of a stream: %v", err)
	}
}

// TestDatagramCutShort: a peer that leaves the port away is not believed to have
// said something.
func TestDatagramCutShort(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	c, server := l.portedConn(69)
	for _, raw := range [][]byte{nil, {1}, {0, 0, 'z'}, {0, 69, 'z'}} { // the third is no piece, the last is whole
		c.link.mu.Lock()
		err := c.link.set.SendDatagram(nil, raw)
		c.link.pump(c.link.node.now())
		c.link.mu.Unlock()
		must(t, err)
	}
	buf := make([]byte, 10)
	n, port, err := c.ReadPort(buf)
	if err != nil || string(buf[:n]) != "z" || port != 69 {
		t.Errorf("read %q from port %d, %v", buf[:n], port, err)
	}
	if got := server.node.Stats().Overflow; got != 3 {
		t.Errorf("%d datagrams were dropped, want 3", got)
	}
}

// TestPortsAtOnce: many who read and write with ports at the same time each get
// their own answers.
func TestPortsAtOnce(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	d, server := l.ported(1)
	for range 3 {
		go echoPackets(server)
	}
	client, err := d.DialPacket()
	must(t, err)
	defer client.Close()
	const each, ports = 200, 8
	var all sync.WaitGroup
	for port := range uint16(ports) {
		all.Go(func() {
			for i := range each {
				if _, err := client.WriteTo(fmt.Append(nil, port+100, i), &Addr{Service: "svc:files", Port: port + 100}); err != nil {
					t.Error(err)
				}
				time.Sleep(100 * time.Microsecond)
			}
		})
	}
	buf := make([]byte, 100)
	got := make(map[string]bool)
	for client.SetReadDeadline(time.Now().Add(10 * time.Second)); len(got) < each*ports/2; {
		n, from, err := client.ReadFrom(buf)
		must(t, err)
		var port uint16
		var i int
		fmt.Sscan(string(buf[:n]), &port, &i)
		if from.(*Addr).Port != port {
			t.Fatalf("%q came from port %d", buf[:n], from.(*Addr).Port)
		}
		got[string(buf[:n])] = true
	}
	all.Wait()
}

// TestInstanceTooOldForPorts: to an instance that does not know PORT, streams open
// as ever, and datagrams go to another one.
func TestInstanceTooOldForPorts(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, old, current := l.node(1), l.node(2), l.node(3)
	l.net.SetTap(func(p *simnet.Packet) bool {
		if p.To == old.at() && typeOf(p.Data) == sal.TypeSYN {
			const port, unknown = 4 + 4 + 4 + 32 + 32, 254 // PORT comes first
			p.Data = bytes.Clone(p.Data)
			if p.Data[port] == byte(sal.ExtPort) {
				p.Data[port] = unknown // as this instance is to see it
			}
		}
		return true
	})
	l.echo(old, "svc:web")
	d := Dialer{Node: client, Port: 80}
	c, err := d.DialConn(t.Context(), "tcp", "svc:web")
	must(t, err)
	must(t, ask(c, "hello"))
	must(t, c.Close())

	first, err := old.ListenPacket("svc:dns")
	must(t, err)
	defer first.Close()
	_, err = d.DialConn(t.Context(), "udp", "svc:dns")
	sentence(t, err, ErrRefused, "svc:dns", "update its node")
	second, err := current.ListenPacket("svc:dns")
	must(t, err)
	defer second.Close()
	c, err = d.DialConn(t.Context(), "udp", "svc:dns")
	must(t, err)
	defer c.Close()
	if got := c.RemoteAddr().(*Addr).Instance; got != current.ID() {
		t.Errorf("connected to %v, want the instance that knows ports", got)
	}
	plain, err := client.DialConn(t.Context(), "udp", "svc:dns")
	must(t, err)
	defer plain.Close()
	if got := plain.RemoteAddr().(*Addr).Instance; got != old.ID() {
		t.Errorf("without a port, connected to %v, want the first instance", got)
	}
}
