package serval

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/resolver/gossip"
	"github.com/serval-net/serval/pkg/sal"
)

// TestKeysMoveByGossip: whoever dials by key follows the owners within the time
// that gossip takes, and no dial fails meanwhile.
func TestKeysMoveByGossip(t *testing.T) {
	c := newCluster(t)
	var seeds []string
	start := func() *Node {
		cfg := Config{Identity: c.join(t, "node")}
		g, err := gossip.New(gossip.Config{Identity: cfg.Identity, Seeds: slices.Clone(seeds), Bind: netip.MustParseAddrPort("127.0.0.1:0")})
		must(t, err)
		seeds = append(seeds, g.Addr().String())
		<-g.Joined()
		cfg.Resolver, cfg.owned = g, []io.Closer{g}
		return startNode(t, cfg)
	}
	client, one, two := start(), start(), start()
	serve := func(n *Node, keys ...string) *Listener {
		ln, err := (&ListenConfig{Node: n, Keys: keyPrefixes(t, keys...)}).Listen(t.Context(), "svc:cache")
		must(t, err)
		go acceptEcho(ln)
		return ln
	}
	first, second := serve(one, "0/1"), serve(two, "8/1")
	var keys []string // of the part that moves
	for i := 0; len(keys) < 3; i++ {
		if key := fmt.Sprint("key ", i); resolver.HashKey(key)>>62 == 0b10 {
			keys = append(keys, key)
		}
	}
	all := func(n *Node) bool { // have their keys with a node
		same := true
		for _, key := range keys {
			same = reached(t, func() (*Conn, error) { return client.DialKey(t.Context(), "svc:cache", key) }) == n.ID() && same
		}
		return same
	}
	eventually(t, "the client knows both", func() bool {
		found, _ := client.cfg.Resolver.Resolve(t.Context(), sal.MustParseName("cache"))
		return len(found) == 2
	})
	if !all(two) {
		t.Fatal("an instance has keys that it does not own")
	}
	for range 3 {
		for _, to := range []struct {
			*Node
			firsts, seconds []string
		}{{one, []string{"0/1", "8/2"}, []string{"c/2"}}, {two, []string{"0/1"}, []string{"8/1"}}} {
			begin := time.Now()
			give := func(ln *Listener, keys []string) {
				must(t, ln.Update(t.Context(), func(lc *ListenConfig) { lc.Keys = keyPrefixes(t, keys...) }))
			}
			if to.Node == one { // who gets keys takes them before the other lets go
				give(first, to.firsts)
				give(second, to.seconds)
			} else {
				give(second, to.seconds)
				give(first, to.firsts)
			}
			eventually(t, "the keys have moved", func() bool { return all(to.Node) })
			t.Logf("the keys moved within %v", time.Since(begin))
		}
	}
}
