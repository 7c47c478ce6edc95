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
	"github.com/serval-net/serval/interop/internal/command"
)

func main() { command.Main("failover", run) }

func run() error {
	if rig.IsProcess() {
		return rig.Process()
	}
	if len(os.Args) > 1 && os.Args[1] == loadProcess {
		return load.Process(os.Args[2:], peer.Systems())
	}
	quick := flag.Bool("quick", false, "shorter and fewer runs")
	cases := flag.String("cases", "*", "comma-separated patterns of the cases to run")
	systems := flag.String("systems", "*", "comma-separated patterns of the systems to run")
	runs := flag.Int("runs", 0, "runs per case and system (default 5, with -quick 1)")
	out := flag.String("out", "out/failover.jsonl", "file for the results, one JSON object per line")
	timelines := flag.String("timelines", "", "directory for what happened when in each run, as JSON and SVG")
	list := flag.Bool("list", false, "print the cases and their systems, and run nothing")
	if err := command.ParseFlags(); err != nil {
		return err
	}

	b := &bench{plan: fullPlan, timelines: *timelines}
	if *quick {
		b.plan = quickPlan
	}
	if *runs > 0 {
		b.runs = *runs
	}
	groups, err := choose(groups(), strings.Split(*cases, ","), strings.Split(*systems, ","))
	if err != nil {
		return err
	}
	if *list {
		for _, g := range groups {
			for _, r := range g.rows {
				fmt.Printf("%-32s %-8s %s\n", r.name, r.unit, strings.Join(g.systems, " "))
			}
		}
		return nil
	}
	ctx, stop := command.Interruptible()
	defer stop()
	if err := peer.ShareCluster(); err != nil {
		return err
	}
	results, failures := b.measure(ctx, groups)
	if ctx.Err() != nil {
		return command.ErrInterrupted
	}
	if err := score.Write(*out, results); err != nil {
		return err
	}
	score.Table(os.Stdout, results, all)
	score.Targets(os.Stdout, results, targets)
	return failures
}
