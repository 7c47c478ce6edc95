package cli

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/serval-net/serval/servald/internal/dns"
	"github.com/serval-net/serval/servald/internal/exec"
	"github.com/serval-net/serval/servald/internal/exit"
	"github.com/serval-net/serval/servald/internal/outbound"
	"github.com/serval-net/serval/servald/internal/resolvconf"
	"github.com/serval-net/serval/servald/internal/tun"
	"github.com/serval-net/serval/servald/internal/virtual"
)

// openProgram starts what the traffic of a program leads to: a node of its own for
// services, with IPv4 addresses that only this program sees, and this host's sockets
// for the rest. out lacks the node.
func (a *App) openProgram(ctx context.Context, out outbound.Config) (_ tun.Handler, end func() error, err error) {
	a.window = outbound.Window
	n, err := a.open(ctx, a)
	if err != nil {
		return nil, nil, err
	}
	ends := []func() error{n.Close} // the last first
	end = func() error {
		var err error
		for i := len(ends) - 1; i >= 0; i-- {
			if e := ends[i](); err == nil {
				err = e
			}
		}
		return err
	}
	defer func() {
		if err != nil {
			end()
		}
	}()
	log := a.logger()
	pool, all, forget, err := openAddresses(log)
	if err != nil {
		return nil, nil, err
	}
	ends = append(ends, forget)
	upstream, err := resolvconf.Servers("")
	if err != nil {
		log.Warn("names outside of Serval cannot be looked up", "err", err)
	}
	out.Node = n.Serval()
	server, err := dns.New(dns.Config{Pool: pool, Known: out.Node.Known, Below: dns.Parents(all, out.Node),
		Upstream: upstream, WithoutIPv6: !exec.HasIPv6(), Logger: log})
	if err != nil {
		return nil, nil, err
	}
	ends = append(ends, server.Close, inBackground(func(ctx context.Context) { refresh(ctx, server, upstream) }))
	return &virtual.Handler{
		Names: pool, DNS: server, Services: outbound.New(out), Exit: exit.New(exit.Config{Log: log}),
		// All processes of the program are one client, which has an address of each family.
		Client: outbound.Client{Via: "exec", Session: "exec"},
	}, end, nil
}

// refreshEvery is how often the host's DNS servers are looked up, which change when it
// moves.
const refreshEvery = 3 * time.Second

// refresh lets a server ask the servers that the host has now, until ctx is done.
func refresh(ctx context.Context, server *dns.Server, known []string) {
	tick := time.NewTicker(refreshEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if now, err := resolvconf.Servers(""); err == nil && !slices.Equal(now, known) && server.SetUpstream(now) == nil {
			known = now
		}
	}
}

// inBackground starts f, which goes on until the result is called.
func inBackground(f func(context.Context)) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { f(ctx) })
	return func() error {
		cancel()
		running.Wait()
		return nil
	}
}
