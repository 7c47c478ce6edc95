// Package suite is what the benchmarks have in common before they measure: their
// flags, and the choice of what to run.
package suite

import (
	"flag"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Flags are those of every benchmark.
type Flags struct {
	Quick, List bool
	Runs        int // 0: as many as planned
	Out         string

	cases, systems string // patterns
}

// Define defines the flags of the benchmark with that name, which by default does
// so many runs. Quick is what there is to say of -quick besides.
func Define(name string, runs int, quick string) *Flags {
	f := &Flags{}
	flag.BoolVar(&f.Quick, "quick", false, "shorter and fewer runs"+quick)
	flag.StringVar(&f.cases, "cases", "*", "comma-separated patterns of the cases to run")
	flag.StringVar(&f.systems, "systems", "*", "comma-separated patterns of the systems to run")
	flag.IntVar(&f.Runs, "runs", 0, fmt.Sprintf("runs per case and system (default %d, with -quick 1)", runs))
	flag.StringVar(&f.Out, "out", "out/"+name+".jsonl", "file for the results, one JSON object per line")
	flag.BoolVar(&f.List, "list", false, "print the cases and their systems, and run nothing")
	return f
}

// Group is one execution that yields one row of the results or several.
type Group[G any] interface {
	*G
	// Choice returns the names of the rows, and the systems, of which Choose
	// takes some away.
	Choice() (rows []string, systems *[]string)
}

// Choose keeps what the flags select.
func Choose[G any, P Group[G]](f *Flags, groups []G) (chosen []G, err error) {
	match := func(patterns []string, name string) bool {
		return slices.ContainsFunc(patterns, func(p string) bool {
			ok, e := path.Match(p, name)
			if e != nil {
				err = fmt.Errorf("pattern %q: %w", p, e)
			}
			return ok
		})
	}
	cases, systems := strings.Split(f.cases, ","), strings.Split(f.systems, ",")
	for _, g := range groups {
		rows, left := P(&g).Choice()
		wanted := slices.ContainsFunc(rows, func(r string) bool { return match(cases, r) })
		*left = slices.DeleteFunc(slices.Clone(*left), func(s string) bool { return !match(systems, s) })
		if wanted && len(*left) > 0 {
			chosen = append(chosen, g)
		}
	}
	if err == nil && len(chosen) == 0 {
		err = fmt.Errorf("no case matches %q with a system of %q; -list shows all", cases, systems)
	}
	return chosen, err
}
