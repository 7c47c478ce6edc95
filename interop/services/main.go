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
	"os"

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
	b := fullPlan
	if flags.Quick {
		b = quickPlan
	}
	if flags.Runs > 0 {
		b.runs = flags.Runs
	}
	cases, err := suite.Choose(flags, b.cases())
	if err != nil {
		return err
	}
	if flags.List {
		suite.List(cases)
		return nil
	}
	ctx, stop := command.Interruptible()
	defer stop()
	results, failures := suite.Measure(ctx, b.runs, cases)
	if ctx.Err() != nil {
		return command.ErrInterrupted
	}
	if err := score.Report(flags.Out, results, all, targets); err != nil {
		return err
	}
	return failures
}
