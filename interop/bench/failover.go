//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/serval-net/serval/interop/bench/load"
	"github.com/serval-net/serval/interop/bench/peer"
)

const (
	failoverInstances = 3
	failoverDials     = 200
	failoverEvery     = 15 * time.Millisecond
)

// failoverGroup measures a series of dials to a service with three instances,
// found by gossip, one of which ends in the midst of it: killed, or stopped as
// by its operator.
func failoverGroup(name string, end os.Signal) group {
	return group{
		rows:    []row{{name + "-p99", "ms", "p99"}, {name + "-max", "ms", "max"}, {name + "-failed", "dials", "failed"}},
		systems: []string{"serval"},
		site:    veth,
		run: func(ctx context.Context, b *bench, s *site, _ string) (load.Result, error) {
			ctx, cancel := context.WithTimeout(ctx, time.Minute)
			defer cancel()
			return b.failover(ctx, s, end)
		},
	}
}

func (b *bench) failover(ctx context.Context, s *site, end os.Signal) (load.Result, error) {
	const system = peer.GossipSystem
	var servers []*server
	defer func() {
		for _, server := range servers {
			server.kill()
		}
	}()
	spec := load.Spec{Kind: "series", Conns: failoverDials, For: failoverEvery}
	for i := range failoverInstances {
		addr := b.nextAddr(s)
		if i == 0 {
			spec.Addr = addr // where the others, and the client, join
			os.Setenv(peer.SeedVariable, peer.GossipAddr(addr).String())
		}
		server, err := b.serve(ctx, s.server, system, addr)
		if err != nil {
			return nil, err
		}
		servers = append(servers, server)
	}
	// Not the first one, whose address is the seed.
	victim := servers[failoverInstances-1]
	blow := time.AfterFunc(failoverDials*failoverEvery/2, func() { victim.cmd.Process.Signal(end) })
	defer blow.Stop()
	result, err := b.client(ctx, s, system, spec)
	if err != nil {
		return nil, err
	}
	if blow.Stop() {
		return nil, fmt.Errorf("the dials were over before an instance ended")
	}
	return result, nil
}
