//go:build linux

// Command failover measures what connections do while their network breaks, heals
// and moves: serval beside kernel MPTCP, kernel TCP and quic-go with migration,
// over the same networks with the same bytes, one process per side. It needs root
// and prints a table, with the project's targets, and one JSON object per case
// and system.
//
//	go run ./interop/failover -quick
//	go run ./interop/failover -cases 'gap-linkdown-*' -systems serval,mptcp -runs 3
//
// Gaps are the longest time in which nothing reached the application, in ms, that
// began within a second of the failure. One as long as was observed, some seconds,
// means that the connection did not recover.
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/serval-net/serval/interop/bench/load"
	"github.com/serval-net/serval/interop/bench/peer"
	"github.com/serval-net/serval/interop/bench/score"
	"github.com/serval-net/serval/interop/failover/rig"
	"github.com/serval-net/serval/interop/internal/cluster"
	"github.com/serval-net/serval/interop/internal/command"
	"github.com/serval-net/serval/interop/internal/suite"
)

func main() { command.Main("failover", run) }

func run() error {
	if rig.IsProcess() {
		return rig.Process()
	}
	if len(os.Args) > 1 && os.Args[1] == loadProcess {
		return load.Process(os.Args[2:], peer.Systems())
	}
	flags := suite.Define("failover", 5, "")
	timelines := flag.String("timelines", "", "directory for what happened when in each run, as JSON and SVG")
	if err := command.ParseFlags(); err != nil {
		return err
	}

	b := &bench{plan: fullPlan, timelines: *timelines}
	if flags.Quick {
		b.plan = quickPlan
	}
	if flags.Runs > 0 {
		b.runs = flags.Runs
	}
	groups, err := suite.Choose(flags, groups())
	if err != nil {
		return err
	}
	if flags.List {
		for _, g := range groups {
			for _, r := range g.rows {
				fmt.Printf("%-32s %-8s %s\n", r.name, r.unit, strings.Join(g.systems, " "))
			}
		}
		return nil
	}
	ctx, stop := command.Interruptible()
	defer stop()
	if err := cluster.Share(); err != nil {
		return err
	}
	results, failures := b.measure(ctx, groups)
	if ctx.Err() != nil {
		return command.ErrInterrupted
	}
	if err := score.Report(flags.Out, results, all, targets); err != nil {
		return err
	}
	return failures
}
