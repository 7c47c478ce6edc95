//go:build linux

// Command matrix moves the ends of serval connections in every way it knows:
// client, server or both, over IPv4, IPv6 or both, by link loss, blackhole, new
// addresses, NAT rebinding and flapping, while the connection carries data up,
// down, or requests with answers. Every cell must be byte-exact and without an
// error at the application; the gap is recorded. It needs root.
//
//	go run ./interop/matrix -cells 'client/v4/*/*' -runs 1
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path"
	"sync"
	"time"

	"github.com/serval-net/serval/interop/bench/score"
	"github.com/serval-net/serval/interop/failover/rig"
	"github.com/serval-net/serval/interop/internal/cluster"
	"github.com/serval-net/serval/interop/internal/command"
	"github.com/serval-net/serval/interop/lab"
)

func main() { command.Main("matrix", run) }

func run() error {
	if rig.IsProcess() {
		return rig.Process()
	}
	pattern := flag.String("cells", "*/*/*/*", "pattern of the cells to run: mover/family/event/kind")
	runs := flag.Int("runs", 3, "runs per cell")
	parallel := flag.Int("parallel", 3, "cells at a time")
	quick := flag.Bool("quick", false, "shorter runs, one per cell")
	out := flag.String("out", "out/matrix.jsonl", "file for the outcomes, one JSON object per line")
	page := flag.String("page", "", "file for the table, such as docs/matrix.md; empty: standard output")
	list := flag.Bool("list", false, "print the cells, and run nothing")
	if err := command.ParseFlags(); err != nil {
		return err
	}
	var chosen []cell
	for _, c := range cells() {
		ok, err := path.Match(*pattern, c.String())
		if err != nil {
			return fmt.Errorf("pattern %q: %w", *pattern, err)
		}
		if ok {
			chosen = append(chosen, c)
		}
	}
	if len(chosen) == 0 {
		return fmt.Errorf("no cell matches %q; -list shows all", *pattern)
	}
	if *list {
		for _, c := range chosen {
			fmt.Println(c, c.absurd())
		}
		return nil
	}
	t := fullTimes
	if *quick {
		t, *runs = quickTimes, 1
	}
	ctx, stop := command.Interruptible()
	defer stop()
	if err := cluster.Share(); err != nil {
		return err
	}
	all := measure(ctx, chosen, *runs, *parallel, t)
	if ctx.Err() != nil {
		return command.ErrInterrupted
	}
	if err := score.Write(*out, all); err != nil {
		return err
	}
	if err := score.WritePage(*page, markdown(all, time.Now())); err != nil {
		return err
	}
	return verdict(all)
}

// measure runs the cells, some at a time, and returns their outcomes in order.
func measure(ctx context.Context, chosen []cell, runs, parallel int, t times) []outcome {
	all := make([]outcome, len(chosen))
	slots := make(chan struct{}, max(parallel, 1))
	var wg sync.WaitGroup
	for i, c := range chosen {
		if c.absurd() == "" {
			slots <- struct{}{}
		}
		wg.Go(func() {
			all[i] = c.measure(ctx, runs, t)
			if c.absurd() == "" {
				fmt.Fprintf(os.Stderr, "%d/%d %s %.0f %s\n", i+1, len(chosen), c, all[i].Gaps, all[i].Errors)
				<-slots
			}
		})
	}
	wg.Wait()
	return all
}

func (c cell) measure(ctx context.Context, runs int, t times) outcome {
	o := outcome{
		Cell: c.String(), Mover: c.mover, Family: c.family.name, Event: c.event.name, Kind: string(c.kind), Absurd: c.absurd(),
	}
	if o.Absurd != "" {
		return o
	}
	for range runs {
		if ctx.Err() != nil {
			return o
		}
		o.Runs++
		gap, err := c.run(ctx, "serval", t)
		if err != nil {
			o.Errors = append(o.Errors, err.Error())
			if errors.Is(err, lab.ErrUnavailable) {
				return o
			}
			continue
		}
		o.Gaps = append(o.Gaps, float64(gap.Microseconds())/1000)
	}
	return o
}

func verdict(all []outcome) error {
	failed := 0
	for _, o := range all {
		if len(o.Errors) > 0 {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d cells failed", failed, len(all))
	}
	return nil
}
