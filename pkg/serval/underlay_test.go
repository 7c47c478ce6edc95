package serval

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/simnet"
)

func ip6(n int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", n)) }

// TestIPVersions dials over IPv4, IPv6 and between nodes that have both.
func TestIPVersions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name           string
		client, server []netip.Addr
		over           netip.Addr
	}{
		{"v4", []netip.Addr{ip(1)}, []netip.Addr{ip(2)}, ip(2)},
		{"v6", []netip.Addr{ip6(1)}, []netip.Addr{ip6(2)}, ip6(2)},
		{"both to v6", []netip.Addr{ip(1), ip6(1)}, []netip.Addr{ip6(2)}, ip6(2)},
		{"v4 to both", []netip.Addr{ip(1)}, []netip.Addr{ip6(2), ip(2)}, ip(2)},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t)
			client, server := l.nodeWith(Config{}, c.client...), l.nodeWith(Config{}, c.server...)
			l.echo(server, "svc:echo")
			conn := l.dial(client, "svc:echo")
			if got := conn.RemoteAddr().(*Addr).Underlay.Addr(); got != c.over {
				t.Errorf("connected over %v, want %v", got, c.over)
			}
			must(t, exchange(conn, 1<<20))
		})
	}
	t.Run("v4 to v6", func(t *testing.T) {
		l := newLab(t)
		client, server := l.node(1), l.nodeWith(Config{}, ip6(2))
		l.echo(server, "svc:echo")
		_, err := client.Dial("svc:echo")
		sentence(t, err, ErrNoService, "no address of svc:echo can be reached from this host's interfaces")
	})
}

// TestSeveralAddresses: a node whose first address cannot be reached is found at
// its second.
func TestSeveralAddresses(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, server := l.node(1), l.nodeWith(Config{}, ip(2), ip(3), ip6(3))
	l.echo(server, "svc:echo")
	l.net.SetPath(ip(1), ip(2), simnet.Params{Blackhole: true})
	c := l.dial(client, "svc:echo")
	if got := c.RemoteAddr().(*Addr).Underlay.Addr(); got != ip(3) {
		t.Errorf("connected to %v, want %v", got, ip(3))
	}
	must(t, exchange(c, 100_000))
	begin := time.Now()
	c = l.dial(client, "svc:echo")
	defer c.Close()
	t.Logf("the next dial, which knows, took %v", time.Since(begin))
}

// TestSmallMTU: paths that silently drop large packets do not stop data.
func TestSmallMTU(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.net.SetPath(ip(1), ip(2), simnet.Params{Delay: time.Millisecond, MTU: 1300})
	client, server := l.node(1), l.node(2)
	l.echo(server, "svc:echo")
	must(t, exchange(l.dial(client, "svc:echo"), 1<<20))
}

// TestLinkDown: a connection outlives an outage shorter than Patience, and a
// longer one ends it with a sentence.
func TestLinkDown(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, server := l.nodeWith(Config{Patience: time.Second}, ip(1)), l.nodeWith(Config{Patience: time.Second}, ip(2))
	l.echo(server, "svc:echo")
	c := l.dial(client, "svc:echo")
	must(t, ask(c, "before"))
	wire := l.net.Path(ip(1), ip(2))
	lost := wire.Stats().Lost
	wire.Set(simnet.Params{Blackhole: true})
	_, err := c.Write([]byte("during"))
	must(t, err)
	eventually(t, "packets get lost", func() bool { return wire.Stats().Lost >= lost+2 })
	wire.Set(simnet.Params{})
	got := make([]byte, 6)
	if n, err := c.Read(got); err != nil || !strings.HasPrefix("during", string(got[:n])) {
		t.Fatalf("read %q, %v", got[:n], err)
	}
	l.net.SetPath(ip(1), ip(2), simnet.Params{Blackhole: true})
	_, err = c.Write([]byte("for ever"))
	must(t, err)
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	_, err = c.Read(got)
	sentence(t, err, ErrTimeout, "svc:echo", "silent for too long")
}
