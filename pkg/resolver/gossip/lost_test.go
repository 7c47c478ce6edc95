package gossip

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/sal"
)

// TestPartitionHeals: parts of a cluster that took each other for dead for longer
// than memberlist remembers find together again, though none of them is alone and
// the first part has all the seeds.
func TestPartitionHeals(t *testing.T) {
	const n = 4
	token, network, c := newToken(t), new(memory), new(cluster)
	for i := range n {
		h := network.host()
		cfg := Config{Identity: newIdentity(t, token)}
		cfg.open = func(bind, advertise netip.AddrPort, conf *memberlist.Config) (*transport, error) {
			conf.ProbeInterval, conf.ProbeTimeout = 40*time.Millisecond, 20*time.Millisecond
			conf.GossipToTheDeadTime, conf.PushPullInterval = 100*time.Millisecond, 200*time.Millisecond
			return h.open(bind, advertise, conf)
		}
		if i > 0 {
			cfg.Seeds = []string{c.hosts[0].addr.String()}
		}
		c.hosts, c.nodes = append(c.hosts, h), append(c.nodes, start(t, cfg))
	}
	members := func(want int) {
		t.Helper()
		for _, g := range c.nodes {
			waitFor(t, "members", nil, func() bool { return len(g.Members()) == want })
		}
	}
	members(n)
	network.part(c.hosts[n/2:])
	members(n / 2)
	time.Sleep(500 * time.Millisecond) // until memberlist has forgotten the dead
	shop := sal.MustParseName("shop")
	register(t, c.nodes[0], web, 0)
	register(t, c.nodes[n-1], shop, 0)
	network.part(nil)
	members(n)
	c.waitAll(t, web, 1)
	c.waitAll(t, shop, 1)
	for _, g := range c.nodes {
		waitFor(t, "nobody to be sought", nil, func() bool { _, any := g.lost.any(rand.IntN, time.Now()); return !any })
	}
}

func TestLost(t *testing.T) {
	var l lost
	now := time.Now()
	first := func(int) int { return 0 }
	last := func(n int) int { return n - 1 }
	member := func(i int) Member { return Member{Node: identity.NodeID{byte(i)}} }
	if _, ok := l.any(first, now); ok {
		t.Error("somebody is lost")
	}
	for i := range maxLost + 3 {
		l.note(member(i), now.Add(time.Duration(i)*time.Second))
	}
	l.note(member(5), now.Add(time.Minute)) // again
	if m, _ := l.any(first, now); m != member(3) {
		t.Errorf("the oldest is %v", m)
	}
	if m, _ := l.any(last, now); m != member(5) || len(l.all) != maxLost {
		t.Errorf("the latest of %d is %v", len(l.all), m)
	}
	l.found(member(3).Node)
	l.found(member(99).Node)
	if m, _ := l.any(first, now); m != member(4) {
		t.Errorf("the oldest is then %v", m)
	}
	if m, ok := l.any(first, now.Add(lostFor+59*time.Second)); !ok || m != member(5) {
		t.Errorf("the last to be remembered is %v, %v", m, ok)
	}
	if _, ok := l.any(first, now.Add(lostFor+time.Minute)); ok {
		t.Error("somebody is sought for ever")
	}
}
