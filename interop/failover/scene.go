//go:build linux

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/serval-net/serval/interop/failover/rig"
	"github.com/serval-net/serval/interop/failover/traffic"
	"github.com/serval-net/serval/interop/lab"
)

// scene is one connection on a network of its own, and what happens to it.
type scene struct {
	*rig.Rig
	bench  *bench
	name   string // of the case, for the timeline
	system string
	marks  []mark
}

// mark is something that happened.
type mark struct {
	At   time.Duration
	What string
}

// stage builds a network and opens a connection of the system, with the policy,
// if it is serval. Play it to an end with finish, or close it.
func (b *bench) stage(ctx context.Context, name, system, policy string, t lab.Topology, kind traffic.Kind, conns int) (*scene, error) {
	process := system
	if system == "serval" && policy != "" {
		process += "-" + policy
	}
	net, err := rig.Build(process, t)
	if err != nil {
		return nil, err
	}
	r, err := rig.Start(ctx, net, process, kind, conns)
	if err != nil {
		net.Close()
		return nil, err
	}
	return &scene{Rig: r, bench: b, name: name, system: system}, nil
}

func (s *scene) close() {
	s.Rig.Close()
	s.Net.Close()
}

// mark notes that something happens now, and returns when that is.
func (s *scene) mark(what string) time.Duration {
	now := traffic.Now()
	s.marks = append(s.marks, mark{now, what})
	return now
}

// finish ends the traffic and returns the arrivals. Of serval it is an error if
// a byte is missing or wrong or an application saw an error; the peers may fail.
func (s *scene) finish() ([]traffic.Sample, error) {
	wait := 10 * time.Second
	if s.system != "serval" {
		wait = time.Second
	}
	s.mark("end")
	o, err := s.Finish(wait)
	if err != nil {
		return nil, err
	}
	arrived := o.Arrived(s.Kind)
	if err := traffic.Exact(o.Client, o.Server); err != nil && s.system == "serval" {
		s.write(o)
		return arrived, fmt.Errorf("%s: %w", s.Kind, err)
	}
	return arrived, s.write(o)
}

// busiest returns the path that carries most of the traffic now.
func (s *scene) busiest() (*lab.Way, error) {
	count := func() (all []uint64, err error) {
		for _, w := range s.Net.Ways {
			c, err := w.Client.Counters()
			if err != nil {
				return nil, err
			}
			all = append(all, c.Received+c.Sent)
		}
		return all, nil
	}
	before, err := count()
	if err != nil {
		return nil, err
	}
	time.Sleep(100 * time.Millisecond)
	after, err := count()
	if err != nil {
		return nil, err
	}
	best := 0
	for i := range after {
		if after[i]-before[i] > after[best]-before[best] {
			best = i
		}
	}
	return s.Net.Ways[best], nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
