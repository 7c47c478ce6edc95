//go:build linux

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/servicetable"
)

const manyRules = 1_000_000

// tables measures service tables of a million rules: one of names, and one of
// names of up to three levels, the prefixes of subtrees, and parts of key spaces.
func (b plan) tables(_ context.Context, _ string) (map[string]float64, error) {
	names, err := measureTable(b.lookups, func(i int) sal.Prefix {
		return sal.MustParseName(fmt.Sprintf("service%d/part", i)).Prefix()
	})
	if err != nil {
		return nil, err
	}
	mixed, err := measureTable(b.lookups, manyPrefix)
	if err != nil {
		return nil, err
	}
	return map[string]float64{
		"lpm-1m-ns": names.lookup, "lpm-1m-mixed-ns": mixed.lookup, "lpm-1m-allocs": max(names.allocs, mixed.allocs),
		"lpm-update-us": max(names.update, mixed.update),
	}, nil
}

// tableCosts is what a table costs: nanoseconds and allocations of a lookup, and
// microseconds of an update, which is a median.
type tableCosts struct{ lookup, allocs, update float64 }

func measureTable(during time.Duration, prefix func(i int) sal.Prefix) (c tableCosts, err error) {
	var t servicetable.Table[int]
	rules := make([]*servicetable.Rule[int], manyRules)
	for i := range rules {
		rules[i] = &servicetable.Rule[int]{Prefix: prefix(i), Action: servicetable.Forward, Target: i}
	}
	if err := t.Add(rules...); err != nil {
		return c, err
	}
	asked := make([]sal.ServiceID, 1<<16)
	for i := range asked {
		asked[i] = rules[rand.IntN(len(rules))].Prefix.ID
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	n := 0
	start := time.Now()
	for time.Since(start) < during {
		for i := range 4096 {
			if t.Lookup(asked[(n+i)%len(asked)]) == nil {
				return c, fmt.Errorf("service %v was not found", asked[(n+i)%len(asked)])
			}
		}
		n += 4096
	}
	took := time.Since(start)
	runtime.ReadMemStats(&after)
	c.lookup = float64(took.Nanoseconds()) / float64(n)
	c.allocs = float64((after.Mallocs - before.Mallocs) / uint64(n)) // the runtime has some of its own

	var updates []time.Duration
	for i := range 2000 {
		old := rules[rand.IntN(len(rules))]
		fresh := &servicetable.Rule[int]{Prefix: old.Prefix, Action: servicetable.Forward, Target: i, Priority: i}
		start := time.Now()
		if err := t.Update([]*servicetable.Rule[int]{fresh}, nil); err != nil {
			return c, err
		}
		updates = append(updates, time.Since(start))
		t.Remove(fresh)
	}
	slices.Sort(updates)
	c.update = float64(updates[len(updates)/2].Nanoseconds()) / 1000
	return c, nil
}

// manyPrefix returns the prefix of rule i.
func manyPrefix(i int) sal.Prefix {
	switch {
	case i%8 == 0: // a subtree
		return sal.MustParseName(fmt.Sprintf("tenant%d/*", i)).Prefix()
	case i%4 == 1: // part of a key space
		name := sal.MustParseName(fmt.Sprintf("cache%d", i/64))
		return sal.KeyPrefix{Key: uint64(i) << 40, Bits: 24}.Of(name)
	case i%4 == 2:
		return sal.MustParseName(fmt.Sprintf("shop%d/cart%d/eu", i%1000, i)).Prefix()
	}
	return sal.MustParseName(fmt.Sprintf("service%d/part", i)).Prefix()
}
