//go:build linux

// Command demo runs the scenarios in its directory scenarios, named after the
// experiments of the papers on multi-homed and mobile hosts: a transfer over
// serval between two processes, while the network below them breaks. For each it
// writes a timeline (JSON) and a plot of it (SVG) and prints a table of gaps. It
// needs root, for namespaces.
//
//	go run ./interop/demo -list
//	go run ./interop/demo failover roaming
//	go run ./interop/demo -out out all
//	go run ./interop/demo my-scenario.txt
package main

import (
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/serval-net/serval/interop/internal/cluster"
	"github.com/serval-net/serval/interop/internal/command"
	"github.com/serval-net/serval/interop/lab"
	"github.com/serval-net/serval/interop/scenario"
)

//go:embed scenarios/*.txt
var scenarios embed.FS

func main() { command.Main("demo", run) }

func run() error {
	// It starts itself again as the programs that use the network.
	if len(os.Args) == 3 && os.Args[1] == processArg {
		return process(os.Args[2])
	}
	list := flag.Bool("list", false, "print the scenarios, and run nothing")
	out := flag.String("out", "out", "directory for demo-NAME.json and demo-NAME.svg")
	flag.Parse()
	all, err := names()
	if err != nil {
		return err
	}
	if *list {
		for _, name := range all {
			s, err := load(name)
			if err != nil {
				return err
			}
			fmt.Printf("%-10s %4.0f s  %s\n", name, s.End.Seconds(), s.Title)
		}
		return nil
	}
	wanted := flag.Args()
	if len(wanted) == 0 {
		return errors.New("name a scenario, or all; see -list")
	}
	if len(wanted) == 1 && wanted[0] == "all" {
		wanted = all
	}
	ctx, stop := command.Interruptible()
	defer stop()
	if err := cluster.Share(); err != nil {
		return err
	}
	var failures []error
	var done []outcome
	for _, name := range wanted {
		t, err := show(ctx, name, *out)
		if err != nil {
			err = fmt.Errorf("%s: %w", name, err)
			failures = append(failures, err)
			fmt.Println(err)
		}
		done = append(done, outcome{name, t, err})
		if ctx.Err() != nil {
			return command.ErrInterrupted
		}
		if errors.Is(err, lab.ErrUnavailable) {
			return err // the others would fail likewise
		}
	}
	if len(done) > 1 {
		fmt.Printf("\n%s", overview(done))
	}
	return errors.Join(failures...)
}

// names returns the scenarios there are.
func names() ([]string, error) {
	files, err := scenarios.ReadDir("scenarios")
	var all []string
	for _, f := range files {
		all = append(all, strings.TrimSuffix(f.Name(), ".txt"))
	}
	return all, err
}

// load reads one of ours, or a file.
func load(name string) (*scenario.Scenario, error) {
	b, err := scenarios.ReadFile("scenarios/" + name + ".txt")
	if err != nil {
		if b, err = os.ReadFile(name); err != nil {
			return nil, fmt.Errorf("no such scenario, nor a file: %w", err)
		}
	}
	return scenario.Parse(string(b))
}

// show runs a scenario and leaves its files. They are written even if it failed,
// to see how.
func show(ctx context.Context, name, dir string) (*scenario.Timeline, error) {
	s, err := load(name)
	if err != nil {
		return nil, err
	}
	short := strings.TrimSuffix(filepath.Base(name), ".txt")
	if s.Title == "" {
		s.Title = short
	}
	fmt.Printf("\n%s (%.0f s)\n", s.Title, s.End.Seconds())
	t, summary, err := play(ctx, s)
	if t == nil {
		return nil, err
	}
	base := filepath.Join(dir, "demo-"+short)
	figure := t.Figure()
	figure.Subtitle = summary
	fmt.Printf("%s\n%s%s\n", t.Table(), summaryLine(summary), base+".svg")
	return t, errors.Join(err, t.WriteFile(base+".json"), figure.WriteFile(base+".svg"))
}

func summaryLine(s string) string {
	if s == "" {
		return ""
	}
	return s + "\n"
}
