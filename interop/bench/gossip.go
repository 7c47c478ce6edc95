//go:build linux

package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/serval-net/serval/interop/bench/load"
	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/resolver/gossip"
	"github.com/serval-net/serval/pkg/sal"
)

// gossipGroup measures how long a registration on one of n nodes takes to be
// resolvable on all: the median of rounds. The nodes are in this process and
// gossip over loopback.
func gossipGroup(n, rounds int) group {
	name := fmt.Sprintf("gossip-%d-converge", n)
	return group{
		rows:    []row{{name, "ms", "median"}, {name + "-max", "ms", "max"}},
		systems: []string{"serval"},
		run: func(ctx context.Context, _ *bench, _ *site, _ string) (load.Result, error) {
			ctx, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			nodes, err := gossipNodes(ctx, n)
			defer closeAll(nodes)
			if err != nil {
				return nil, err
			}
			var took []time.Duration
			for i := range rounds {
				d, err := spread(ctx, nodes, nodes[i%n], fmt.Sprintf("svc:round-%d", i))
				if err != nil {
					return nil, fmt.Errorf("round %d: %w", i, err)
				}
				took = append(took, d)
			}
			slices.Sort(took)
			ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
			return load.Result{"median": ms(took[rounds/2]), "max": ms(took[rounds-1])}, nil
		},
	}
}

// gossipNode is one member; it keeps its identity to register with.
type gossipNode struct {
	*gossip.Gossip
	id *identity.Identity
}

func closeAll(nodes []gossipNode) {
	var wg sync.WaitGroup
	for _, node := range nodes {
		wg.Go(func() { node.Close() })
	}
	wg.Wait()
}

// gossipNodes starts n nodes of one cluster and waits until all know all.
func gossipNodes(ctx context.Context, n int) (nodes []gossipNode, err error) {
	token, err := identity.NewRoot().Grant(identity.Grant{}, time.Now())
	if err != nil {
		return nil, err
	}
	var seeds []string
	for range n {
		id, err := token.Join(identity.Member{}, time.Now())
		if err != nil {
			return nodes, err
		}
		g, err := gossip.New(gossip.Config{Identity: id, Seeds: seeds})
		if err != nil {
			return nodes, err
		}
		nodes = append(nodes, gossipNode{g, id})
		seeds = []string{nodes[0].Addr().String()}
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for _, node := range nodes {
		for len(node.Members()) < n {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return nodes, fmt.Errorf("a node knows %d of %d others: %w", len(node.Members())-1, n-1, ctx.Err())
			}
		}
	}
	return nodes, nil
}

// spread registers the service on one node and returns when all resolve it.
func spread(ctx context.Context, nodes []gossipNode, on gossipNode, service string) (time.Duration, error) {
	name, err := sal.ParseName(service)
	if err != nil {
		return 0, err
	}
	start := time.Now()
	lease, err := on.Register(ctx, resolver.Registration{
		Service: name, Identity: on.id, Addrs: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:1")},
	})
	if err != nil {
		return 0, err
	}
	for _, node := range nodes {
		if err := resolvable(ctx, node, name); err != nil {
			return 0, err
		}
	}
	return time.Since(start), lease.Close(ctx)
}

// resolvable waits until the node resolves the name.
func resolvable(ctx context.Context, node gossipNode, name sal.Name) error {
	changed, stop := node.Watch()
	defer stop()
	for {
		if _, err := node.Resolve(ctx, name); err == nil {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
