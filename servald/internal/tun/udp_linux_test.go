package tun

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

func listenUDP(t *testing.T, network string) *net.UDPConn {
	t.Helper()
	c, err := net.ListenUDP(network, nil)
	must(t, err)
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

func TestDatagramsOfManyPorts(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	h, opened, _ := boxes()
	s := start(t, h, Config{})
	for network, addr := range map[string]string{"udp4": someone, "udp6": someone6} {
		c := listenUDP(t, network)
		to := netip.MustParseAddr(addr)
		for _, x := range []struct {
			port, from uint16
			size       int
		}{{53, 53, 100}, {69, 3000, 516}, {5004, 5004, 0}, {53, 53, 40000}, {53, 53, 60000}} {
			sent := random(x.size)
			buf := make([]byte, 1<<16)
			n, from := 0, netip.AddrPort{}
			// The first large datagram makes room for others, and is lost.
			for try := 0; ; try++ {
				_, err := c.WriteToUDPAddrPort(sent, netip.AddrPortFrom(to, x.port))
				must(t, err)
				c.SetReadDeadline(time.Now().Add(time.Second))
				if n, from, err = c.ReadFromUDPAddrPort(buf); err == nil {
					break
				} else if try == 5 {
					t.Fatal(err)
				}
			}
			if from != netip.AddrPortFrom(to, x.from) || !bytes.Equal(buf[:n], sent) {
				t.Errorf("%s: %d bytes to port %d came back as %d bytes from %v", network, x.size, x.port, n, from)
			}
		}
	}
	if n := s.Stats().FlowsEver; n != 2 || len(opened) != 2 {
		t.Errorf("%d flows, want one for each socket", n)
	}
}

func TestPortUnreachable(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	h, _, _ := boxes()
	start(t, h, Config{})
	for _, addr := range []string{someone, someone6} {
		for _, port := range []int{7, 9} {
			c, err := net.Dial("udp", net.JoinHostPort(addr, fmt.Sprint(port)))
			must(t, err)
			c.SetDeadline(time.Now().Add(10 * time.Second))
			c.Write([]byte("anyone?"))
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("%s port %d: %v", addr, port, err)
			}
			c.Close()
		}
	}
}

func TestFlowsEndWhenIdle(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	h, opened, open := boxes()
	s := start(t, h, Config{FlowIdle: 50 * time.Millisecond})
	c := listenUDP(t, "udp4")
	_, err := c.WriteToUDPAddrPort([]byte("x"), netip.MustParseAddrPort(someone+":53"))
	must(t, err)
	_, _, err = c.ReadFromUDPAddrPort(make([]byte, 1))
	must(t, err)
	<-opened
	open.Wait()
	eventually(t, "no flow is left", func() bool { return s.Stats().Flows == 0 })
}

// There are no more flows than the limit: the longest silent gives way.
func TestMaxFlows(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	h, opened, _ := boxes()
	s := start(t, h, Config{MaxFlows: 3})
	for range 10 {
		c := listenUDP(t, "udp4")
		_, err := c.WriteToUDPAddrPort([]byte("x"), netip.MustParseAddrPort(someone+":53"))
		must(t, err)
		_, _, err = c.ReadFromUDPAddrPort(make([]byte, 1))
		must(t, err)
		if n := s.Stats().Flows; n > 3 {
			t.Fatalf("%d flows", n)
		}
	}
	if len(opened) != 10 {
		t.Errorf("%d flows were opened", len(opened))
	}
}

func TestPing(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	alive := []netip.Addr{netip.MustParseAddr(someone), netip.MustParseAddr(someone6)}
	s := start(t, fake{ping: func(_ context.Context, dst netip.Addr) error {
		if dst == alive[0] || dst == alive[1] {
			return nil
		}
		return ErrUnreachable
	}}, Config{})
	for _, x := range []struct {
		network, dead, alive string
		request, reply       icmp.Type
		proto                int
	}{
		{"ip4:icmp", "198.18.0.99", someone, ipv4.ICMPTypeEcho, ipv4.ICMPTypeEchoReply, 1},
		{"ip6:ipv6-icmp", "fd5e:7276:616c::99", someone6, ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply, 58},
	} {
		local := "0.0.0.0"
		if x.proto == 58 {
			local = "::"
		}
		c, err := icmp.ListenPacket(x.network, local)
		must(t, err)
		defer c.Close()
		c.SetDeadline(time.Now().Add(20 * time.Second))
		for seq, to := range []string{x.dead, x.alive} {
			m := icmp.Message{Type: x.request, Body: &icmp.Echo{ID: 7, Seq: seq, Data: random(1000)}}
			b, err := m.Marshal(nil)
			must(t, err)
			_, err = c.WriteTo(b, &net.IPAddr{IP: net.ParseIP(to)})
			must(t, err)
		}
		for {
			b := make([]byte, 2000)
			n, from, err := c.ReadFrom(b)
			must(t, err)
			m, err := icmp.ParseMessage(x.proto, b[:n])
			must(t, err)
			if m.Type != x.reply {
				continue
			}
			echo := m.Body.(*icmp.Echo)
			if from.String() != x.alive || echo.Seq != 1 || !bytes.Equal(echo.Data, random(1000)) {
				t.Errorf("%v answered number %d with %d bytes", from, echo.Seq, len(echo.Data))
			}
			break
		}
	}
	if n := s.Stats().Echoes; n != 2 {
		t.Errorf("%d echoes", n)
	}
}
