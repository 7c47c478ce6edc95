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
	"fmt"
	"os"
	"strings"

	"github.com/serval-net/serval/interop/bench/load"
	"github.com/serval-net/serval/interop/bench/peer"
	"github.com/serval-net/serval/interop/bench/score"
	"github.com/serval-net/serval/interop/internal/cluster"
	"github.com/serval-net/serval/interop/internal/command"
	"github.com/serval-net/serval/interop/internal/suite"
)

func main() { command.Main("bench", run) }

func run() error {
	// The harness starts itself again as the processes that are measured.
	if len(os.Args) > 1 && (os.Args[1] == "server" || os.Args[1] == "client") {
		return load.Process(os.Args[1:], peer.Systems())
	}
	flags := suite.Define("bench", 3, ": everything within 3 minutes")
	if err := command.ParseFlags(); err != nil {
		return err
	}

	plan := fullPlan
	if flags.Quick {
		plan = quickPlan
	}
	if flags.Runs > 0 {
		plan.runs = flags.Runs
	}
	groups, err := suite.Choose(flags, plan.groups())
	if err != nil {
		return err
	}
	if flags.List {
		for _, g := range groups {
			for _, r := range g.rows {
				fmt.Printf("%-24s %-8s %s\n", r.name, r.unit, strings.Join(g.systems, " "))
			}
		}
		return nil
	}
	ctx, stop := command.Interruptible()
	defer stop()
	if err := cluster.Share(); err != nil {
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
	if err := score.Report(flags.Out, results, all, targets); err != nil {
		return err
	}
	return failures
}
