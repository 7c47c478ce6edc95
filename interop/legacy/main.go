//go:build linux

// Command legacy measures programs that know nothing of Serval: through servald's
// proxies and devices ("servald"), over TCP without Serval ("native"), and what
// servald perf gets natively ("serval"). It needs root, and what interop/setup.sh
// programs installs. It prints a table, with the project's targets, and one JSON
// object per case and system.
//
//	go run ./interop/legacy -quick
//	go run ./interop/legacy -cases 'tun-*' -runs 5
package main

import (
	"os"

	"github.com/serval-net/serval/interop/bench/score"
	"github.com/serval-net/serval/interop/internal/command"
	"github.com/serval-net/serval/interop/internal/suite"
	"github.com/serval-net/serval/interop/legacy/traffic"
)

func main() { command.Main("legacy", run) }

func run() error {
	if is, err := traffic.Process(os.Args[1:]); is {
		return err
	}
	flags := suite.Define("legacy", 3, "")
	if err := command.ParseFlags(); err != nil {
		return err
	}
	p := fullPlan
	if flags.Quick {
		p = quickPlan
	}
	if flags.Runs > 0 {
		p.runs = flags.Runs
	}
	cases, err := suite.Choose(flags, p.cases())
	if err != nil {
		return err
	}
	if flags.List {
		suite.List(cases)
		return nil
	}
	ctx, stop := command.Interruptible()
	defer stop()
	results, failures := suite.Measure(ctx, p.runs, cases)
	if ctx.Err() != nil {
		return command.ErrInterrupted
	}
	if err := score.Report(flags.Out, results, all, targets); err != nil {
		return err
	}
	return failures
}
