//go:build linux

// Command demo shows services whose instances come and go, after the experiments of
// the paper (NSDI 2012, section 6): a replicated web service under ab's load whose
// replicas join and leave, and a cache that several memcached share. For each it
// writes a plot and prints what was reached. Everything runs on the loopback
// interface.
//
//	go run ./interop/services/demo web
//	go run ./interop/services/demo -out out web cache
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/serval-net/serval/interop/internal/command"
	"github.com/serval-net/serval/interop/plot"
)

func main() { command.Main("demo", run) }

// demos are what can be shown.
var demos = map[string]func(ctx context.Context) (*outcome, error){"web": web, "cache": cache}

// outcome is what a demonstration came to.
type outcome struct {
	figure *plot.Figure
	lines  []string // what was reached
	err    error    // what was not
}

func run() error {
	// It starts itself again as the programs of the demonstration.
	if len(os.Args) > 2 {
		switch os.Args[1] {
		case "limited":
			return limited(os.Args[2], os.Args[3:])
		case "lookups":
			return lookups(os.Args[2:])
		}
	}
	out := flag.String("out", "out", "directory for services-NAME.svg")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: demo [-out DIR] web|cache...")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() == 0 {
		return errors.New("name what to show: web, cache")
	}
	if err := os.MkdirAll(*out, 0o755); err != nil {
		return err
	}
	ctx, stop := command.Interruptible()
	defer stop()
	var failures []error
	for _, name := range flag.Args() {
		f := demos[name]
		if f == nil {
			return fmt.Errorf("there is no demonstration %q; name web or cache", name)
		}
		o, err := f(ctx)
		if ctx.Err() != nil {
			return command.ErrInterrupted
		}
		if err == nil {
			file := filepath.Join(*out, "services-"+name+".svg")
			if err = o.figure.WriteFile(file); err == nil {
				fmt.Printf("\n%s: %s\n", o.figure.Title, file)
				for _, l := range o.lines {
					fmt.Println("  " + l)
				}
				err = o.err
			}
		}
		if err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(failures...)
}
