//go:build linux

// Command programs runs real programs over Serval that know nothing of it: clients
// on one host, servers on another, two paths between them. It checks that each works
// by each way that fits it, that several clients are spread over the instances of a
// service while each stays at one, and that what lasts goes on when the paths below
// it are cut. It needs root, and what interop/setup.sh programs installs.
//
//	go run ./interop/legacy/programs -programs curl -ways forward
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/serval-net/serval/interop/bench/score"
	"github.com/serval-net/serval/interop/internal/command"
	"github.com/serval-net/serval/interop/legacy/catalogue"
	"github.com/serval-net/serval/interop/legacy/stage"
)

func main() { command.Main("programs", run) }

func run() error {
	names := flag.String("programs", "", "comma-separated parts of the names of the programs to run; empty: all")
	ways := flag.String("ways", "", "comma-separated ways to take; empty: all")
	watch := flag.Duration("watch", 2*time.Second, "how long to look on after each change of the network")
	spread := flag.Int("spread", 6, "runs to see how they are spread over instances; 0 for none")
	out := flag.String("out", "out/programs.jsonl", "file for the outcomes, one JSON object per line")
	page := flag.String("page", "", "file for the table, such as docs/programs.md; empty: standard output")
	list := flag.Bool("list", false, "print the programs and their ways, and run nothing")
	if err := command.ParseFlags(); err != nil {
		return err
	}
	var chosen []*catalogue.Program
	for _, p := range catalogue.All() {
		p.Ways = slices.DeleteFunc(slices.Clone(p.Ways), func(w stage.Way) bool {
			return *ways != "" && !slices.Contains(strings.Split(*ways, ","), string(w))
		})
		wanted := slices.ContainsFunc(strings.Split(*names, ","), func(part string) bool { return strings.Contains(p.Name, part) })
		if wanted && len(p.Ways) > 0 {
			chosen = append(chosen, p)
		}
	}
	if len(chosen) == 0 {
		return fmt.Errorf("no program matches %q by a way of %q; -list shows all", *names, *ways)
	}
	if *list {
		for _, p := range chosen {
			fmt.Println(p.Name, p.Ways, p.Missing())
		}
		return nil
	}
	ctx, stop := command.Interruptible()
	defer stop()
	all, err := catalogue.Table(ctx, chosen, catalogue.Options{Watch: *watch, Spread: *spread, Say: func(o catalogue.Outcome) {
		fmt.Fprintln(os.Stderr, o.String())
	}})
	if ctx.Err() != nil {
		return command.ErrInterrupted
	}
	if err != nil {
		return err
	}
	if err := score.Write(*out, all); err != nil {
		return err
	}
	if err := score.WritePage(*page, markdown(all, time.Now())); err != nil {
		return err
	}
	return verdict(all)
}

func verdict(all []catalogue.Outcome) error {
	failed := 0
	for _, o := range all {
		if o.Failed() {
			failed++
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d rows failed", failed, len(all))
	}
	return nil
}
