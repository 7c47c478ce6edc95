//go:build linux

// Command bench compares serval with its peers: the same workloads over serval,
// kernel TCP, TLS, quic-go and wireguard-go, in networks made of namespaces, one
// process per side. It needs root and prints a table, with the project's targets,
// and one JSON object per case and system.
//
//	go run ./interop/bench -quick
//	go run ./interop/bench -cases 'wan-20ms-*' -systems serval,tcp-bbr -runs 5
package main

import (
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/serval-net/serval/interop/bench/load"
	"github.com/serval-net/serval/interop/bench/peer"
	"github.com/serval-net/serval/interop/bench/score"
	"github.com/serval-net/serval/interop/internal/command"
)

func main() { command.Main("bench", run) }

func run() error {
	// The harness starts itself again as the processes that are measured.
	if len(os.Args) > 1 && (os.Args[1] == "server" || os.Args[1] == "client") {
		return load.Process(os.Args[1:], peer.Systems())
	}
	quick := flag.Bool("quick", false, "shorter and fewer runs: everything within 3 minutes")
	cases := flag.String("cases", "*", "comma-separated patterns of the cases to run")
	systems := flag.String("systems", "*", "comma-separated patterns of the systems to run")
	runs := flag.Int("runs", 0, "runs per case and system (default 3, with -quick 1)")
	out := flag.String("out", "out/bench.jsonl", "file for the results, one JSON object per line")
	list := flag.Bool("list", false, "print the cases and their systems, and run nothing")
	if err := command.ParseFlags(); err != nil {
		return err
	}

	plan := fullPlan
	if *quick {
		plan = quickPlan
	}
	if *runs > 0 {
		plan.runs = *runs
	}
	groups, err := choose(plan.groups(), strings.Split(*cases, ","), strings.Split(*systems, ","))
	if err != nil {
		return err
	}
	if *list {
		for _, g := range groups {
			for _, r := range g.rows {
				fmt.Printf("%-24s %-8s %s\n", r.name, r.unit, strings.Join(g.systems, " "))
			}
		}
		return nil
	}
	ctx, stop := command.Interruptible()
	defer stop()
	if err := peer.ShareCluster(); err != nil {
		return err
	}
	b, err := newBench(ctx, groups)
	if err != nil {
		return err
	}
	defer b.close()
	results, failures := b.measure(ctx, groups, plan.runs)
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
