//go:build linux

package lab

import (
	"errors"
	"io"
	"math"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// need skips the test where the lab cannot run.
func need(t *testing.T, err error) {
	t.Helper()
	if errors.Is(err, ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// echo starts a UDP echo server on the host and returns a socket on the other
// that is connected to it.
func echo(t *testing.T, p *Pair) *net.UDPConn {
	t.Helper()
	var server, client *net.UDPConn
	addr := net.UDPAddrFromAddrPort(netip.AddrPortFrom(p.ServerIface.Addr(), 7))
	err := p.Server.Do(func() (err error) { server, err = net.ListenUDP("udp4", addr); return err })
	if err != nil {
		t.Fatal(err)
	}
	err = p.Client.Do(func() (err error) { client, err = net.DialUDP("udp4", nil, addr); return err })
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 2000)
		for {
			n, from, err := server.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			server.WriteToUDPAddrPort(buf[:n], from)
		}
	}()
	t.Cleanup(func() { client.Close(); server.Close(); <-done })
	return client
}

func TestPairCarriesPackets(t *testing.T) {
	p, err := NewPair()
	need(t, err)
	defer p.Close()
	c := echo(t, p)
	c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 16)
	if n, err := c.Read(buf); err != nil || string(buf[:n]) != "hello" {
		t.Fatalf("echo: %q, %v", buf[:n], err)
	}
}

func TestRoutedDelaysAndLoses(t *testing.T) {
	const rtt, loss, n = 20 * time.Millisecond, 0.1, 1000
	p, err := NewRouted(Path{RTT: rtt, Rate: 100e6, Queue: 50 * time.Millisecond, Loss: loss})
	need(t, err)
	defer p.Close()
	c := echo(t, p)
	sent := make([]atomic.Int64, n)
	start := time.Now()
	go func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for i := range sent {
			sent[i].Store(int64(time.Since(start)))
			c.Write([]byte{byte(i >> 8), byte(i)})
			<-tick.C
		}
		c.SetReadDeadline(time.Now().Add(time.Second))
	}()
	var trips []time.Duration
	for buf := make([]byte, 2); ; {
		_, err := io.ReadFull(c, buf)
		if err != nil {
			break
		}
		trips = append(trips, time.Since(start)-time.Duration(sent[int(buf[0])<<8|int(buf[1])].Load()))
	}
	slices.Sort(trips)
	if got := 1 - float64(len(trips))/n; math.Abs(got-loss) > 0.05 {
		t.Errorf("lost %.3f of the packets, want about %v", got, loss)
	}
	p50, p99 := trips[len(trips)/2], trips[len(trips)*99/100]
	t.Logf("round trips: min %v, p50 %v, p99 %v of %d", trips[0], p50, p99, len(trips))
	if trips[0] < rtt {
		t.Errorf("a round trip took %v, less than %v", trips[0], rtt)
	}
}

func TestCommandDiesWithItsHost(t *testing.T) {
	n, err := New()
	need(t, err)
	h, err := n.Host("h")
	need(t, err)
	cmd := h.Command(t.Context(), "sleep", "1000")
	if err := h.Start(cmd); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err == nil {
		t.Error("the command ended by itself")
	}
}

func TestSysctlIsPerHost(t *testing.T) {
	n, err := New()
	need(t, err)
	defer n.Close()
	h, err := n.Host("h")
	need(t, err)
	const file = "/proc/sys/net/ipv4/ip_forward"
	read := func() (s string) {
		h.Do(func() error { b, err := os.ReadFile(file); s = string(b); return err })
		return s
	}
	before := read()
	if err := h.Forward(); err != nil {
		t.Fatal(err)
	}
	if read() != "1\n" || before != "0\n" {
		t.Errorf("ip_forward %q, then %q", before, read())
	}
}
