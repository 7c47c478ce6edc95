package gossip

import (
	"slices"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/resolver"
)

// TestLoadSpreads: all nodes learn of a load within a few rounds, but nobody is
// told at once, as they are of what decides who is dialled at all.
func TestLoadSpreads(t *testing.T) {
	c := newCluster(t, 4)
	lease := register(t, c.nodes[0], web, 0).(resolver.Updater)
	c.waitAll(t, web, 1)
	says := func(good func(*resolver.Record) bool) bool { return slices.ContainsFunc(c.nodes[0].news(), good) }
	begin := time.Now()
	if err := lease.Update(ctx, func(r *resolver.Registration) { r.Load = 0.5 }); err != nil {
		t.Fatal(err)
	}
	for _, g := range c.nodes {
		waitFor(t, "the load", nil, func() bool {
			found, _ := g.Resolve(ctx, web)
			return len(found) == 1 && found[0].Load == 0.5
		})
	}
	t.Logf("4 nodes knew of a load after %v", time.Since(begin))
	if says(func(r *resolver.Record) bool { return r.Load != 0 }) {
		t.Error("the load was told at once")
	}
	if err := lease.Update(ctx, func(r *resolver.Registration) { r.Weight = 7 }); err != nil {
		t.Fatal(err)
	}
	if !says(func(r *resolver.Record) bool { return r.Weight == 7 }) {
		t.Error("the weight was not told at once")
	}
}
