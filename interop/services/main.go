//go:build linux

// Command services measures the service layer: how fast first packets find their
// way, what clients see of instances that come, go and crash, and short HTTP
// requests beside nginx and HAProxy. Everything runs on the loopback interface, in
// processes of its own. It prints a table, with the project's targets, and one
// JSON object per case and system.
//
//	go run ./interop/services -quick
//	go run ./interop/services -cases 'http-lb-*' -runs 5
package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/serval-net/serval/interop/bench/score"
	"github.com/serval-net/serval/interop/internal/command"
	"github.com/serval-net/serval/interop/internal/suite"
	"github.com/serval-net/serval/interop/services/traffic"
)

func main() { command.Main("services", run) }

// part runs one of the processes that are measured, if that is what this one was
// started for: the harness starts itself again.
func part() (isPart bool, err error) {
	if len(os.Args) != 3 {
		return false, nil
	}
	switch os.Args[1] {
	case "replica":
		return true, traffic.Replica(os.Args[2])
	case "ask":
		return true, traffic.Ask(os.Args[2])
	}
	return false, nil
}

func run() error {
	if isPart, err := part(); isPart {
		return err
	}
	flags := suite.Define("services", 3, "")
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
	b := &bench{plan: plan}
	results, failures := b.measure(ctx, groups)
	if ctx.Err() != nil {
		return command.ErrInterrupted
	}
	if err := score.Report(flags.Out, results, all, targets); err != nil {
		return err
	}
	return failures
}
