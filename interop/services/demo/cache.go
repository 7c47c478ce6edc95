//go:build linux

package main

import (
	"context"
	"fmt"
	"time"

	"github.com/serval-net/serval/interop/internal/command"
	"github.com/serval-net/serval/interop/internal/fleet"
	"github.com/serval-net/serval/interop/plot"
)

const (
	cacheLength  = 40 * time.Second
	cacheLeaveAt = 12 * time.Second
	cacheJoinAt  = 26 * time.Second
	caches       = 4
)

// cache shows a cache that several memcached share, each of which has some of the
// keys. A client looks keys up by DialKey and fills in what it misses.
func cache(ctx context.Context) (*outcome, error) {
	memcached, err := installed("memcached")
	if err != nil {
		return nil, err
	}
	st, err := newStage(ctx, caches, func(_ *stage, r *replica) error { return r.memcached(ctx, memcached) })
	if err != nil {
		return nil, err
	}
	defer st.Close()
	if err := joinAll(ctx, "svc:cache", st.replicas); err != nil {
		return nil, err
	}
	if err := command.Pause(ctx, time.Second); err != nil {
		return nil, err
	}
	p, err := st.client.Start("client", st.self, "lookups", "svc:cache", cacheLength.String())
	if err != nil {
		return nil, err
	}
	if _, err := p.Expect(ctx, "^begin"); err != nil {
		return nil, err
	}
	st.play()
	one := st.replicas[0]
	if err := st.at(ctx, cacheLeaveAt, "one leaves", one.leave); err != nil {
		return nil, err
	}
	if err := st.at(ctx, cacheJoinAt, "one joins, empty", func() error {
		one.program.Kill()
		if err := one.memcached(ctx, memcached); err != nil {
			return err
		}
		return one.join(ctx, "svc:cache")
	}); err != nil {
		return nil, err
	}
	out, err := p.Output()
	if err != nil {
		return nil, err
	}
	var r lookedUp
	if err := fleet.ParseLast(out, &r); err != nil {
		return nil, fmt.Errorf("the client's result: %w", err)
	}
	o := &outcome{figure: &plot.Figure{
		Title:    "Partitioned cache",
		Subtitle: fmt.Sprintf("%d memcached behind svc:cache; one client looks %d keys up by DialKey and fills in what is missing", caches, cacheKeys),
		Length:   cacheLength.Seconds(), Marks: st.marks,
		Panels: []plot.Panel{
			{Title: "Hits and misses", Unit: "1/s", Lines: []plot.Line{r.line("hits", 2, r.Hits), r.line("misses", 3, r.Misses)}},
			{Title: "Asked of each", Unit: "1/s", Stacked: true, Lines: r.shares()},
		},
	}}
	o.report(r.Failed == 0, "%d of %d lookups failed", r.Failed, r.Asked)
	for i, m := range st.marks {
		end := cacheLength.Seconds()
		if i+1 < len(st.marks) {
			end = st.marks[i+1].At
		}
		last, n := r.lastMiss(m.At, end)
		o.report(n > 0 && last-m.At <= mayLag.Seconds(), "%s: %d misses, the last after %.2f s, at most %v", m.Label, n, last-m.At, mayLag)
	}
	return o, nil
}

// memcached starts the server at an address of its own.
func (r *replica) memcached(ctx context.Context, program string) (err error) {
	if r.addr, err = fleet.FreePort(r.host.Addr); err != nil {
		return err
	}
	port := r.addr[len(r.host.Addr)+1:]
	if r.program, err = r.host.Start("memcached", program, "-u", "nobody", "-l", r.host.Addr, "-p", port, "-U", "0", "-m", "16"); err != nil {
		return err
	}
	return fleet.Accepts(ctx, r.addr)
}
