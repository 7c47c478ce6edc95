package cli

import (
	"context"
	"sync"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/resolver/control"
	"github.com/serval-net/serval/servald/internal/dns"
	"github.com/serval-net/serval/servald/internal/exec"
	"github.com/serval-net/serval/servald/internal/exit"
	"github.com/serval-net/serval/servald/internal/outbound"
	"github.com/serval-net/serval/servald/internal/resolvconf"
	"github.com/serval-net/serval/servald/internal/tun"
	"github.com/serval-net/serval/servald/internal/vaddr"
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
	pool, err := vaddr.Open("", vaddr.Config{Logger: log})
	if err != nil {
		return nil, nil, err
	}
	ends = append(ends, pool.Close)

	var all resolver.Lister // only a daemon can tell
	if path, running := control.FindSocket(); running {
		c := control.NewClient(path)
		ends = append(ends, c.Close, follow(pool, c))
		all = c
	}
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
	ends = append(ends, server.Close)
	return &virtual.Handler{
		Names: pool, DNS: server, Services: outbound.New(out), Exit: exit.New(exit.Config{Log: log}),
		// All processes of the program are one client, which has an address of each family.
		Client: outbound.Client{Via: "exec", Session: "exec"},
	}, end, nil
}

// follow lets a pool learn the addresses of all services until the result is called.
func follow(pool *vaddr.Pool, from resolver.Follower) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	var following sync.WaitGroup
	following.Go(func() { pool.Follow(ctx, from) })
	return func() error {
		cancel()
		following.Wait()
		return nil
	}
}
