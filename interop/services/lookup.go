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

// lookups measures a service table of a million rules: names of one, two and
// three levels, keys, and the prefixes of subtrees.
func lookups(_ context.Context, b *bench, _ string) (map[string]float64, error) {
	var t servicetable.Table[int]
	rules := make([]*servicetable.Rule[int], manyRules)
	for i := range rules {
		rules[i] = &servicetable.Rule[int]{Prefix: manyPrefix(i), Action: servicetable.Forward, Target: i}
	}
	if err := t.Add(rules...); err != nil {
		return nil, err
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
	for time.Since(start) < b.lookups {
		for i := range 4096 {
			if t.Lookup(asked[(n+i)%len(asked)]) == nil {
				return nil, fmt.Errorf("service %v was not found", asked[(n+i)%len(asked)])
			}
		}
		n += 4096
	}
	took := time.Since(start)
	runtime.ReadMemStats(&after)

	var updates []time.Duration
	for i := range 2000 {
		old := rules[rand.IntN(len(rules))]
		fresh := &servicetable.Rule[int]{Prefix: old.Prefix, Action: servicetable.Forward, Target: i, Priority: i}
		start := time.Now()
		if err := t.Update([]*servicetable.Rule[int]{fresh}, nil); err != nil {
			return nil, err
		}
		updates = append(updates, time.Since(start))
		t.Remove(fresh)
	}
	slices.Sort(updates)
	return map[string]float64{
		"lpm-1m-ns":     float64(took.Nanoseconds()) / float64(n),
		"lpm-1m-allocs": float64(after.Mallocs-before.Mallocs) / float64(n),
		"lpm-update-us": float64(updates[len(updates)/2].Nanoseconds()) / 1000,
	}, nil
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
