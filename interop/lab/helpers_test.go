//go:build linux

package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// network builds a Paths for the time of a test.
func network(t *testing.T, topology Topology) *Paths {
	t.Helper()
	start := time.Now()
	p, err := NewPaths(topology)
	need(t, err)
	t.Logf("built in %v", time.Since(start))
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// must ends the test on an error.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// socket opens a UDP socket on a host; port 0 is any.
func socket(t *testing.T, h *Host, addr netip.Addr, port uint16) *net.UDPConn {
	t.Helper()
	var c *net.UDPConn
	must(t, h.Do(func() (err error) {
		c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, port)))
		return err
	}))
	t.Cleanup(func() { c.Close() })
	return c
}

const echoPort = 7

// echoes answers each datagram to an address of the host with itself and its
// source address.
func echoes(t *testing.T, h *Host, addr netip.Addr) {
	c := socket(t, h, addr, echoPort)
	go func() {
		buf := make([]byte, 2000)
		for {
			n, from, err := c.ReadFromUDPAddrPort(buf)
			if err == nil {
				c.WriteToUDPAddrPort([]byte(string(buf[:n])+" "+from.String()), from)
			} else if errors.Is(err, net.ErrClosed) {
				return
			}
		}
	}()
}

var questions atomic.Int64

// ask sends to the echo and returns where the datagram came from, as the echo saw
// it, and the time it took; the zero AddrPort if there is no answer.
func ask(c *net.UDPConn, to netip.Addr, tries int) (netip.AddrPort, time.Duration) {
	buf, sent := make([]byte, 100), map[string]time.Time{}
	for range tries {
		question := fmt.Sprint(questions.Add(1))
		sent[question] = time.Now()
		c.WriteToUDPAddrPort([]byte(question), netip.AddrPortFrom(to, echoPort))
		c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		for {
			n, _, err := c.ReadFromUDPAddrPort(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			q, from, _ := strings.Cut(string(buf[:n]), " ")
			if start, ok := sent[q]; err == nil && ok {
				addr, _ := netip.ParseAddrPort(from)
				return addr, time.Since(start)
			}
		}
	}
	return netip.AddrPort{}, 0
}

// carried reports whether a datagram gets from one socket to the other; want says
// how long to wait for that.
func carried(from, to *net.UDPConn, want bool) bool {
	tries, buf := impatient, make([]byte, 100)
	if want {
		tries = patient
	}
	sent := map[string]bool{}
	for range tries {
		question := fmt.Sprint(questions.Add(1))
		sent[question] = true
		from.WriteToUDPAddrPort([]byte(question), to.LocalAddr().(*net.UDPAddr).AddrPort())
		to.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		for {
			n, err := to.Read(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err == nil && sent[string(buf[:n])] {
				return true
			}
		}
	}
	return false
}

// trip returns the quickest of some round trips, and where they came from.
func trip(c *net.UDPConn, to netip.Addr) (from netip.AddrPort, least time.Duration) {
	least = time.Hour
	for range 8 {
		addr, took := ask(c, to, patient)
		from, least = addr, min(least, took)
	}
	return from, least
}

// about reports whether a round trip is what a path has, on a machine that does
// other things as well.
func about(took, rtt time.Duration) bool {
	return took >= rtt && took < rtt+30*time.Millisecond
}

const (
	patient   = 20 // tries until an answer must have come
	impatient = 2  // and until none will come
)

// reaches checks whether a datagram gets there and back.
func reaches(t *testing.T, what string, c *net.UDPConn, to netip.Addr, want bool) {
	t.Helper()
	tries := impatient
	if want {
		tries = patient
	}
	if from, _ := ask(c, to, tries); from.IsValid() != want {
		t.Errorf("%s: answered %v, want %v", what, from.IsValid(), want)
	}
}
