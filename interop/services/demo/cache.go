//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
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
	memcached, err := exec.LookPath("memcached")
	if err != nil {
		return nil, errors.New("memcached is not installed: run interop/setup.sh services")
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	f, err := fleet.New(ctx)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	client, err := f.Join("127.0.0.1")
	if err != nil {
		return nil, err
	}
	var all []*replica
	for i := range caches {
		r := &replica{}
		if r.host, err = f.Join(fmt.Sprintf("127.0.0.%d", i+2)); err != nil {
			return nil, err
		}
		if r.addr, err = r.memcached(ctx, memcached); err != nil {
			return nil, err
		}
		if err := r.join(ctx, "svc:cache"); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	if err := command.Pause(ctx, time.Second); err != nil {
		return nil, err
	}
	p, err := client.Start("client", self, "lookups", "svc:cache", cacheLength.String())
	if err != nil {
		return nil, err
	}
	if _, err := p.Expect(ctx, "^begin"); err != nil {
		return nil, err
	}
	begin := time.Now()
	marks := []plot.Mark{}
	at := func(t time.Duration, label string, do func() error) error {
		if err := command.Pause(ctx, time.Until(begin.Add(t))); err != nil {
			return err
		}
		fmt.Printf("%2.0f s: %s\n", t.Seconds(), label)
		marks = append(marks, plot.Mark{At: time.Since(begin).Seconds(), Label: label})
		return do()
	}
	if err := at(cacheLeaveAt, "one leaves", all[0].leave); err != nil {
		return nil, err
	}
	if err := at(cacheJoinAt, "one joins, empty", func() error {
		all[0].program.Kill()
		if all[0].addr, err = all[0].memcached(ctx, memcached); err != nil {
			return err
		}
		return all[0].join(ctx, "svc:cache")
	}); err != nil {
		return nil, err
	}
	out, err := p.Output()
	if err != nil {
		return nil, err
	}
	var r lookedUp
	if err := json.Unmarshal([]byte(lastLine(out)), &r); err != nil {
		return nil, fmt.Errorf("the client's result: %w: %.300s", err, out)
	}
	o := &outcome{figure: &plot.Figure{
		Title:    "Partitioned cache",
		Subtitle: fmt.Sprintf("%d memcached behind svc:cache; one client looks %d keys up by DialKey and fills in what is missing", caches, cacheKeys),
		Length:   cacheLength.Seconds(), Marks: marks,
		Panels: []plot.Panel{
			{Title: "Hits and misses", Unit: "1/s", Lines: []plot.Line{r.line("hits", 2, r.Hits), r.line("misses", 3, r.Misses)}},
			{Title: "Asked of each", Unit: "1/s", Stacked: true, Lines: r.shares()},
		},
	}}
	o.report(r.Failed == 0, "%d of %d lookups failed", r.Failed, r.Asked)
	for i, m := range marks {
		end := cacheLength.Seconds()
		if i+1 < len(marks) {
			end = marks[i+1].At
		}
		last, n := r.lastMiss(m.At, end)
		o.report(n > 0 && last-m.At <= mayLag.Seconds(), "%s: %d misses, the last after %.2f s, at most %v", m.Label, n, last-m.At, mayLag)
	}
	return o, nil
}

// memcached starts the server and returns where it listens.
func (r *replica) memcached(ctx context.Context, program string) (addr string, err error) {
	if addr, err = fleet.FreePort(r.host.Addr); err != nil {
		return "", err
	}
	port := addr[len(r.host.Addr)+1:]
	if r.program, err = r.host.Start("memcached", program, "-u", "nobody", "-l", r.host.Addr, "-p", port, "-U", "0", "-m", "16"); err != nil {
		return "", err
	}
	return addr, fleet.Accepts(ctx, addr)
}
