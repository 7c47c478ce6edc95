//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/serval-net/serval/interop/internal/command"
	"github.com/serval-net/serval/interop/internal/fleet"
	"github.com/serval-net/serval/interop/lab"
	"github.com/serval-net/serval/interop/services/traffic"
	"github.com/serval-net/serval/pkg/resolver/control"
	"github.com/serval-net/serval/pkg/sal"
)

// split is a site whose client is alone on one side of a cable, so that gossip
// can be cut there while everything else gets through.
type split struct {
	*site
	net      *lab.Net
	here     *lab.Host // the client's side
	iface    string
	resolver *control.Client // of the client's servald
}

func newSplit(ctx context.Context, replicas int) (_ *split, err error) {
	if err := lab.NeedIptables(); err != nil {
		return nil, err
	}
	n, err := lab.New()
	if err != nil {
		return nil, err
	}
	p := &split{net: n}
	defer func() {
		if err != nil {
			p.Close()
		}
	}()
	if p.here, err = n.Host("client"); err != nil {
		return nil, err
	}
	there, err := n.Host("servers")
	if err != nil {
		return nil, err
	}
	left, right, err := n.Connect(p.here, there)
	if err != nil {
		return nil, err
	}
	p.iface = left.Name()
	p.site, err = newSiteWith(ctx, replicas, func(f *fleet.Fleet, host int) (*fleet.Host, error) {
		if host == 0 {
			return f.JoinAt(p.here, left.Addr().String())
		}
		return f.JoinAt(there, right.Addr().String())
	})
	if err == nil {
		p.resolver = control.NewClient(p.client.Socket())
	}
	return p, err
}

func (p *split) Close() {
	if p.resolver != nil {
		p.resolver.Close()
	}
	if p.site != nil {
		p.site.Close()
	}
	p.net.Close()
}

// gossip cuts the gossip between the two sides, or lets it through again: all TCP,
// which nothing else uses there, and UDP of the client's servald.
func (p *split) gossip(through bool) error {
	_, port, err := net.SplitHostPort(p.client.Gossip)
	if err != nil {
		return err
	}
	do := "-A"
	if through {
		do = "-D"
	}
	for _, rule := range [][]string{
		{"INPUT", "-i", p.iface, "-p", "tcp"},
		{"OUTPUT", "-o", p.iface, "-p", "tcp"},
		{"INPUT", "-i", p.iface, "-p", "udp", "--dport", port},
		{"OUTPUT", "-o", p.iface, "-p", "udp", "--sport", port},
	} {
		if err := p.here.Run("iptables", slices.Concat([]string{"-w", do}, rule, []string{"-j", "DROP"})...); err != nil {
			return err
		}
	}
	return nil
}

// knows waits until the client's servald knows an instance, and returns for how
// long it has been possible to hear of it.
func (p *split) knows(ctx context.Context, name string, begin time.Time) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, healPatience)
	defer cancel()
	for {
		found, err := p.resolver.Resolve(ctx, sal.MustParseName(service))
		for _, in := range found {
			if strings.HasSuffix(name, "#"+in.Node.Short()) {
				return time.Since(begin), nil
			}
		}
		if command.Pause(ctx, 10*time.Millisecond) != nil {
			return 0, fmt.Errorf("the client's host does not know %s %v after the partition has ended: %d instances, %v", name, healPatience, len(found), err)
		}
	}
}

// healPatience is how long is waited for the news after a partition.
const healPatience = 45 * time.Second

// partition cuts the gossip between the client's host and all others. Meanwhile
// one instance is killed and one joins, of which gossip cannot tell the client.
func (b plan) partition(ctx context.Context, system string) (map[string]float64, error) {
	p, err := newSplit(ctx, faultReplicas)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	var joined *replica
	var healed time.Duration
	f := &fault{
		gone: p.replicas[0].name,
		strike: func(*site) (err error) {
			if system != calm {
				if err := p.gossip(false); err != nil {
					return err
				}
			}
			p.replicas[0].Kill()
			joined, err = p.replica(ctx, 0)
			return err
		},
		mend: func(*site) (err error) {
			begin := time.Now()
			if system != calm {
				if err := p.gossip(true); err != nil {
					return err
				}
			}
			healed, err = p.knows(ctx, joined.name, begin)
			return err
		},
	}
	o, err := suffer(ctx, p.site, traffic.Load{For: b.fault, Dials: dialRate}, f)
	if err != nil {
		return nil, err
	}
	got, err := o.rows("fault-partition")
	if err == nil && system != calm {
		got["fault-partition-heal-ms"] = float64(healed.Microseconds()) / 1000
	}
	return got, err
}

// longPartition cuts the gossip until the client's host has forgotten everybody,
// or for so long that it does not, and then finds out whether they find each
// other again.
func (b plan) longPartition(ctx context.Context, _ string) (map[string]float64, error) {
	p, err := newSplit(ctx, faultReplicas)
	if err != nil {
		return nil, err
	}
	defer p.Close()
	if err := p.gossip(false); err != nil {
		return nil, err
	}
	a, err := p.ask(ctx, traffic.Load{Where: service, For: b.long, Dials: dialRate / 4})
	if err != nil {
		return nil, err
	}
	r, err := a.result()
	if err != nil {
		return nil, err
	}
	holds := b.long
	if len(r.Dialled.Lost) > 0 {
		holds = time.Duration(slices.Min(r.Dialled.Lost)) * time.Microsecond
		explain(r.Failures[:1])
	}
	joined, err := p.replica(ctx, 0)
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	if err := p.gossip(true); err != nil {
		return nil, err
	}
	healed, err := p.knows(ctx, joined.name, begin)
	if err != nil {
		return nil, err
	}
	return map[string]float64{
		"fault-partition-holds-s":      holds.Seconds(),
		"fault-partition-long-heal-ms": float64(healed.Microseconds()) / 1000,
	}, nil
}
