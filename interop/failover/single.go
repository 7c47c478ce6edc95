//go:build linux

package main

import (
	"context"
	"errors"
	"time"

	"github.com/serval-net/serval/interop/failover/traffic"
	"github.com/serval-net/serval/interop/internal/command"
	"github.com/serval-net/serval/interop/lab"
)

// change is something that happens to a scene's only path.
type change struct {
	topology lab.Topology
	prepare  func(*scene) error // nil: nothing
	do       func(*scene) error
}

var (
	onePath = lab.Topology{Paths: []lab.Path{good}}

	swapAddress = change{
		topology: onePath,
		do: func(s *scene) error {
			if err := s.Net.Ways[0].Client.AddrSwap(true); err != nil {
				return err
			}
			return s.Readdressed()
		},
	}
	rebindNAT = change{
		topology: onePath,
		prepare:  func(s *scene) error { return s.Net.Ways[0].SetNAT(lab.PortKeeping) },
		do:       func(s *scene) error { return s.Net.Ways[0].Rebind() },
	}

	// moveBoth plugs both ends into other networks. Neither knows where the other
	// went; to serval a third host serves as rendezvous.
	moveBoth = change{
		topology: lab.Topology{Paths: []lab.Path{good, good, good, good}, Client: []int{0}, Server: []int{1}, Joined: true},
		do: func(s *scene) error {
			client := make(chan error)
			ways := s.Net.Ways
			go func() { client <- ways[0].Client.Plug(ways[2]) }()
			err := ways[1].Server.Plug(ways[3])
			return errors.Join(err, <-client, s.Readdressed())
		},
	}
)

// changeGroup measures how long after a change nothing arrives.
func changeGroup(name string, c change, systems ...string) group {
	return silences(name, systems, false, func(ctx context.Context, b *bench, system string, kind traffic.Kind) (time.Duration, bool, error) {
		return b.change(ctx, name, system, kind, c)
	})
}

// change returns how long the silence lasted once the network worked again; not
// ok means that nothing was measured.
func (b *bench) change(ctx context.Context, name, system string, kind traffic.Kind, c change) (took time.Duration, ok bool, err error) {
	s, err := b.stage(ctx, name, system, "", c.topology, kind, 1)
	if err != nil {
		return 0, false, err
	}
	defer s.close()
	if c.prepare != nil {
		if err := c.prepare(s); err != nil {
			return 0, false, err
		}
	}
	if err := command.Pause(ctx, b.warm); err != nil {
		return 0, false, err
	}
	s.mark("change")
	if err := c.do(s); err != nil {
		return 0, false, err
	}
	return s.recovery(ctx, s.mark("changed"), b.observe)
}
