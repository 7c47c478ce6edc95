package servicetable

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/serval-net/serval/pkg/sal"
)

// TestStems: names are found at once only as long as their IDs have this form.
func TestStems(t *testing.T) {
	for i, name := range []string{"svc:a/b/c", "svc:a/b/*", "svc:a/*"} {
		if bits := sal.MustParseName(name).Prefix().Bits; int(bits) != 8*stems[i] {
			t.Errorf("%s has %d bits, the stem %d bytes", name, bits, stems[i])
		}
	}
}

func (f *forest[T]) sets() (all []*Set[T]) {
	f.walk(func(set *Set[T]) bool { all = append(all, set); return true })
	return all
}

// TestManyNames fills pages until they are split, with keys below some of the
// names, and empties them again; all the while every rule must be found, those of
// shorter prefixes behind it, and what was removed not.
func TestManyNames(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	var table Table[int]
	mustAdd(t, &table, &Rule[int]{Prefix: sal.MustParseName("svc:*").Prefix(), Action: Drop, Target: -1})
	const n = 12_000
	rules, in, count := make([]*Rule[int], n), make([]bool, n), 1
	for i := range rules {
		group, name := i/100, fmt.Sprintf("svc:g%d/s%d", i/100, i)
		if i%100 == 0 {
			name = fmt.Sprintf("svc:g%d/*", group)
		}
		p := sal.MustParseName(name).Prefix()
		if i%10 == 5 { // a key of the one before
			before := sal.MustParseName(fmt.Sprintf("svc:g%d/s%d", group, i-1))
			p = sal.KeyPrefix{Key: uint64(i&7) << 61, Bits: 3}.Of(before)
		}
		rules[i] = &Rule[int]{Prefix: p, Action: Forward, Target: i}
	}
	toggle := func(i int) {
		if in[i] {
			table.Remove(rules[i])
			count--
		} else {
			mustAdd(t, &table, rules[i])
			count++
		}
		in[i] = !in[i]
	}
	check := func() {
		t.Helper()
		if table.Len() != count {
			t.Fatalf("Len() = %d, want %d", table.Len(), count)
		}
		for i, rule := range rules {
			var want []int
			if in[i] {
				want = append(want, i)
			}
			if i%10 == 5 && in[i-1] {
				want = append(want, i-1)
			}
			if g := i / 100 * 100; g != i && in[g] {
				want = append(want, g)
			}
			want = append(want, -1)
			if got := targets(matches(&table, rule.Prefix.ID)); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Fatalf("rule %d: %v, want %v", i, got, want)
			}
			if (table.Get(rule.Prefix) != nil) != in[i] {
				t.Fatalf("rule %d: Get does not agree", i)
			}
		}
		seen := make(map[sal.Prefix]bool)
		for set := range table.All() {
			if seen[set.Prefix()] {
				t.Fatalf("%v comes twice", set.Prefix())
			}
			seen[set.Prefix()] = true
		}
		if len(seen) != count {
			t.Fatalf("All has %d sets, want %d", len(seen), count)
		}
	}
	for i := range rules {
		toggle(i)
	}
	check()
	depth := 0
	for _, d := range table.current.Load().indexes[0].dirs {
		depth = max(depth, d.depth)
	}
	if depth == 0 {
		t.Error("no page was split")
	}
	for range n {
		toggle(r.IntN(n))
	}
	check()
	// All that is there for all that is not, in one step, of which one who reads
	// the table as it was sees nothing.
	before := table.current.Load()
	was := fmt.Sprint(before.rules, len(before.sets()))
	var add, remove []*Rule[int]
	for i, rule := range rules {
		if in[i] = !in[i]; in[i] {
			add = append(add, rule)
		} else {
			remove = append(remove, rule)
		}
	}
	if err := table.Update(add, remove); err != nil {
		t.Fatal(err)
	}
	count += len(add) - len(remove)
	check()
	for _, rule := range remove {
		if set := before.get(rule.Prefix); set == nil || set.Rules()[0] != rule {
			t.Fatalf("the table as it was has lost rule %d", rule.Target)
		}
	}
	for _, rule := range add {
		if before.get(rule.Prefix) != nil {
			t.Fatalf("the table as it was has got rule %d", rule.Target)
		}
	}
	if got := fmt.Sprint(before.rules, len(before.sets())); got != was {
		t.Fatalf("the table as it was has %s rules and sets, had %s", got, was)
	}
	for i := range rules {
		if in[i] {
			toggle(i)
		}
	}
	check()
	if x := table.current.Load().indexes; x != [len(stems)]index[int]{} {
		t.Error("something is left over")
	}
}
