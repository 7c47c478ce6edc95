//go:build linux

package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/serval-net/serval/interop/internal/fleet"
	"github.com/serval-net/serval/interop/services/traffic"
)

// routers starts hosts that are service routers, and returns what a client has to
// know instead of a cluster: that the service is reached there.
func (s *site) routers(n int) (all []*fleet.Host, services string, err error) {
	var lines []string
	for i := range n {
		addr := fmt.Sprintf("127.0.1.%d", i+1)
		at, err := fleet.FreePort(addr)
		if err != nil {
			return nil, "", err
		}
		h, err := s.Join(addr, "--forward", at)
		if err != nil {
			return nil, "", err
		}
		all = append(all, h)
		lines = append(lines, strings.TrimPrefix(service, "svc:")+" "+at)
	}
	return all, "SERVAL_SERVICES=" + strings.Join(lines, ";"), nil
}

// routerKilled has clients dial through two service routers, of which one is
// killed.
func (b plan) routerKilled(ctx context.Context, system string) (map[string]float64, error) {
	s, err := newSite(ctx, faultReplicas)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	routers, services, err := s.routers(2)
	if err != nil {
		return nil, err
	}
	s.client.Env = append(s.client.Env, services)
	f := &fault{strike: nothing, mend: nothing}
	if system != calm {
		f.strike = func(*site) error {
			routers[0].Daemon().Kill()
			return nil
		}
	}
	o, err := suffer(ctx, s, traffic.Load{For: b.fault, Dials: dialRate, Keep: keepers, Pause: askEvery}, f)
	if err != nil {
		return nil, err
	}
	got, err := o.rows("fault-router-killed")
	if err != nil {
		return nil, err
	}
	got["fault-router-killed-kept-failed"] = float64(o.Kept.Failed)
	return got, nil
}
