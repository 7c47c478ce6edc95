package serval

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/flowset"
	"github.com/serval-net/serval/internal/simnet"
)

// echoPackets answers every datagram with itself.
func echoPackets(p *PacketConn) {
	buf := make([]byte, 64<<10)
	for {
		n, from, err := p.ReadFrom(buf)
		if err != nil {
			return
		}
		p.WriteTo(buf[:n], from)
	}
}

// packets is a client and a datagram service that echoes.
func (l *lab) packets() (client *Node, c *Conn, p *PacketConn) {
	l.Helper()
	client, server := l.node(1), l.node(2)
	p, err := server.ListenPacket("svc:echo")
	must(l, err)
	go echoPackets(p)
	c, err = client.DialConn(l.Context(), "udp", "svc:echo")
	must(l, err)
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	return client, c, p
}

func TestDatagrams(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	_, c, p := l.packets()
	defer p.Close()
	defer c.Close()
	buf := make([]byte, 64<<10)
	for _, n := range []int{0, 1, 100, c.MaxDatagram()} {
		msg := noise(n)
		if m, err := c.Write(msg); m != n || err != nil {
			t.Fatalf("wrote %d of %d bytes: %v", m, n, err)
		}
		m, err := c.Read(buf)
		if err != nil || !bytes.Equal(buf[:m], msg) {
			t.Fatalf("sent %d bytes, %d came back, %v", n, m, err)
		}
	}
	if _, err := c.Write(make([]byte, c.MaxDatagram()+1)); !errors.Is(err, flowset.ErrTooLong) {
		t.Errorf("sending too much: %v", err)
	} else {
		sentence(t, err, flowset.ErrTooLong, "svc:echo", "MaxDatagram")
	}
	if err := c.CloseWrite(); err == nil {
		t.Error("CloseWrite of datagrams succeeded")
	}
}

// TestDatagramLoss: datagrams get lost or arrive whole, and never hold each
// other up.
func TestDatagramLoss(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	_, c, p := l.packets()
	defer p.Close()
	defer c.Close()
	l.net.SetPath(ip(1), ip(2), simnet.Params{Delay: time.Millisecond, Loss: 0.1, Duplicate: 0.1, Reorder: 0.1})
	const n = 500
	got := make(map[string]int)
	buf := make([]byte, 100)
	for i := range n {
		msg := fmt.Sprintf("message %d", i)
		_, err := c.Write([]byte(msg))
		must(t, err)
		c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		for {
			m, err := c.Read(buf)
			if err != nil {
				break
			}
			got[string(buf[:m])]++
			if string(buf[:m]) == msg {
				break
			}
		}
	}
	for msg, times := range got {
		if times != 1 {
			t.Errorf("%q arrived %d times", msg, times)
		}
	}
	if len(got) == n || len(got) < n/2 {
		t.Errorf("%d of %d datagrams came back, with 19 %% of loss", len(got), n)
	}
}

// TestPacketConn sends to a service by name from a PacketConn that serves
// another, and is answered.
func TestPacketConn(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, server := l.node(1), l.node(2)
	p, err := server.ListenPacket("svc:echo")
	must(t, err)
	defer p.Close()
	go echoPackets(p)
	q, err := client.ListenPacket("svc:asker")
	must(t, err)
	defer q.Close()
	buf := make([]byte, 100)
	q.SetReadDeadline(time.Now().Add(20 * time.Second))
	for _, msg := range []string{"one", "two"} {
		if _, err := q.WriteTo([]byte(msg), &Addr{Service: "svc:echo"}); err != nil {
			t.Fatal(err)
		}
		n, from, err := q.ReadFrom(buf)
		if err != nil || string(buf[:n]) != msg {
			t.Fatalf("read %q, %v", buf[:n], err)
		}
		if a := from.(*Addr); a.Instance != server.ID() || a.Service != "svc:echo" {
			t.Errorf("the answer is from %v", from)
		}
	}
	if n := server.Stats().Connections; n != 1 {
		t.Errorf("two datagrams made %d connections", n)
	}
	_, err = q.WriteTo([]byte("x"), &net.UDPAddr{IP: net.IPv4(192, 0, 2, 1), Port: 1})
	sentence(t, err, ErrNoService, "serval.Addr")
	_, err = q.WriteTo([]byte("x"), &Addr{Service: "svc:nobody"})
	sentence(t, err, ErrNoService, "svc:nobody")
}

// TestPacketConnOneDial: many first datagrams to one service share a connection.
func TestPacketConnOneDial(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.delay(1, 2, time.Millisecond)
	client, server := l.node(1), l.node(2)
	p, err := server.ListenPacket("svc:echo")
	must(t, err)
	defer p.Close()
	q, err := client.ListenPacket("svc:asker")
	must(t, err)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := q.WriteTo([]byte("hello"), &Addr{Service: "svc:echo"}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	buf := make([]byte, 10)
	for range 8 {
		if _, _, err := p.ReadFrom(buf); err != nil {
			t.Fatal(err)
		}
	}
	if n := server.Stats().Connections; n != 1 {
		t.Errorf("8 first datagrams made %d connections", n)
	}
	must(t, q.Close())
	eventually(t, "the connection ends with the PacketConn", func() bool { return server.Stats().Connections == 0 })
}

// TestStreamToDatagramService: the two kinds of service do not mix.
func TestStreamToDatagramService(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, _, p := l.packets()
	defer p.Close()
	_, err := client.Dial("svc:echo")
	sentence(t, err, ErrNoService, "svc:echo")
}

// TestDatagramDeadline follows what nettest asks of deadlines.
func TestDatagramDeadline(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	_, c, p := l.packets()
	defer p.Close()
	defer c.Close()
	expired := func(err error) {
		t.Helper()
		var ne net.Error
		if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &ne) || !ne.Timeout() {
			t.Fatalf("read ended with %v", err)
		}
	}
	buf := make([]byte, 100)
	c.SetReadDeadline(time.Unix(1, 0)) // in the past
	_, err := c.Read(buf)
	expired(err)
	c.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err = c.Read(buf)
	expired(err)
	_, err = c.Read(buf) // it stays
	expired(err)

	c.SetReadDeadline(time.Time{})
	ended := make(chan error, 1)
	go func() {
		_, err := c.Read(buf)
		ended <- err
	}()
	c.SetReadDeadline(time.Now()) // also for a read that waits
	expired(<-ended)

	for range 200 { // many changes, while timers fire
		c.SetReadDeadline(time.Now().Add(50 * time.Microsecond))
	}
	c.SetReadDeadline(time.Now().Add(20 * time.Second)) // it can be taken back
	c.Write([]byte("still there"))
	if n, err := c.Read(buf); err != nil || string(buf[:n]) != "still there" {
		t.Fatalf("read %q, %v", buf[:n], err)
	}

	p.SetDeadline(time.Now()) // ends the echo
	_, _, err = p.ReadFrom(buf)
	expired(err)
}

// TestDatagramClose: Close ends a read that waits, at both ends.
func TestDatagramClose(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, c, p := l.packets()
	read := func(c *Conn) chan error {
		ended := make(chan error, 1)
		go func() {
			_, err := c.Read(make([]byte, 1))
			ended <- err
		}()
		return ended
	}
	ended := read(c)
	must(t, c.Close())
	if err := <-ended; err == nil {
		t.Error("a read of a closed connection returned data")
	}
	if _, err := c.Write([]byte("x")); err == nil {
		t.Error("a write to a closed connection succeeded")
	}
	eventually(t, "both ends forget it", func() bool {
		return client.Stats().Connections == 0 && p.node.Stats().Connections == 0
	})
	c, err := client.DialConn(t.Context(), "udp", "svc:echo")
	must(t, err)
	c.Write([]byte("x"))
	_, err = c.Read(make([]byte, 1))
	must(t, err)
	ended = read(c)
	must(t, p.Close())
	sentence(t, <-ended, ErrReset)
	if _, _, err := p.ReadFrom(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("reading from a closed PacketConn: %v", err)
	}
}
