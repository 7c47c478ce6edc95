//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/serval-net/serval/interop/internal/fleet"
	"github.com/serval-net/serval/interop/services/traffic"
)

// site is a cluster with replicas of a service and a host for clients.
type site struct {
	*fleet.Fleet
	self     string
	client   *fleet.Host
	servers  []*fleet.Host
	replicas []*replica
}

// replica is a running instance.
type replica struct {
	*fleet.Process
	name string // as it calls itself
}

const service = "svc:web"

// newSite starts a cluster of a client's host and so many replicas, each on a host
// of its own.
func newSite(ctx context.Context, replicas int) (*site, error) {
	return newSiteWith(ctx, replicas, func(f *fleet.Fleet, host int) (*fleet.Host, error) {
		return f.Join(fmt.Sprintf("127.0.0.%d", host+1))
	})
}

// newSiteWith is newSite with hosts of another kind. Host 0 is the client's.
func newSiteWith(ctx context.Context, replicas int, join func(f *fleet.Fleet, host int) (*fleet.Host, error)) (*site, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	f, err := fleet.New(ctx)
	if err != nil {
		return nil, err
	}
	s := &site{Fleet: f, self: self}
	if err := s.build(ctx, replicas, join); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func (s *site) build(ctx context.Context, replicas int, join func(*fleet.Fleet, int) (*fleet.Host, error)) (err error) {
	if s.client, err = join(s.Fleet, 0); err != nil {
		return err
	}
	for i := range replicas {
		h, err := join(s.Fleet, i+1)
		if err != nil {
			return err
		}
		s.servers = append(s.servers, h)
		r, err := s.replica(ctx, i)
		if err != nil {
			return err
		}
		s.replicas = append(s.replicas, r)
	}
	return s.known(ctx, replicas)
}

// replica starts an instance on server i.
func (s *site) replica(ctx context.Context, i int) (*replica, error) {
	return s.replicaOf(ctx, i, service)
}

// replicaOf starts an instance as traffic.Replica knows them.
func (s *site) replicaOf(ctx context.Context, i int, where string) (*replica, error) {
	p, err := s.servers[i].Start("replica", s.self, "replica", where)
	if err != nil {
		return nil, err
	}
	name, err := p.Expect(ctx, `^ready (\S+)`)
	return &replica{p, name}, err
}

// known waits until the client's servald knows so many instances.
func (s *site) known(ctx context.Context, n int) error {
	return s.client.Known(ctx, 20*time.Second, service, n)
}

// ask starts a client's load.
func (s *site) ask(ctx context.Context, l traffic.Load) (*asking, error) {
	p, err := s.client.Start("client", s.self, "ask", spec(l))
	if err != nil {
		return nil, err
	}
	return begun(ctx, p)
}

func spec(l traffic.Load) string {
	b, err := json.Marshal(l)
	if err != nil {
		panic(err) // it holds numbers and text
	}
	return string(b)
}

// asking is a load under way.
type asking struct{ p *fleet.Process }

func begun(ctx context.Context, p *fleet.Process) (*asking, error) {
	_, err := p.Expect(ctx, "^asking")
	return &asking{p}, err
}

// result waits for the load's end.
func (a *asking) result() (*traffic.Result, error) {
	out, err := a.p.Output()
	if err != nil {
		return nil, err
	}
	var r traffic.Result
	if err := fleet.ParseLast(out, &r); err != nil {
		return nil, fmt.Errorf("the client's result: %w", err)
	}
	return &r, nil
}

// quantile returns the value below which the share q of all lies.
func quantile(micros []int, q float64) (float64, error) {
	if len(micros) == 0 {
		return 0, errors.New("nothing was answered")
	}
	slices.Sort(micros)
	return float64(micros[min(int(q*float64(len(micros))), len(micros)-1)]), nil
}
