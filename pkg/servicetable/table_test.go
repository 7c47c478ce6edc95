package servicetable

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/serval-net/serval/pkg/sal"
)

func rule(prefix string, a Action, priority, target int) *Rule[int] {
	p, err := sal.ParsePrefix(prefix)
	if err != nil {
		panic(err)
	}
	return &Rule[int]{Prefix: p, Action: a, Priority: priority, Target: target}
}

func mustAdd(t *testing.T, table *Table[int], rules ...*Rule[int]) {
	t.Helper()
	if err := table.Add(rules...); err != nil {
		t.Fatal(err)
	}
}

func targets(rules []*Rule[int]) (found []int) {
	for _, r := range rules {
		found = append(found, r.Target)
	}
	return found
}

func TestZeroValue(t *testing.T) {
	var table Table[int]
	if table.Lookup(sal.ServiceID{}) != nil || table.Get(sal.Prefix{}) != nil || table.Len() != 0 {
		t.Error("the zero value is not empty")
	}
	for range table.All() {
		t.Error("the zero value has a set")
	}
	table.Remove(rule("01/8", Drop, 0, 0))
}

// In 2012 a prefix of 0 bits stood for a full one, and 256 did not fit.
func TestDefaultAndFullPrefix(t *testing.T) {
	var table Table[int]
	id := sal.MustParseName("svc:web").ServiceID()
	full := &Rule[int]{Prefix: sal.Prefix{ID: id, Bits: 256}, Action: Demux, Target: 1}
	mustAdd(t, &table, rule("/0", Forward, 0, 2), full)
	if got := targets(matches(&table, id)); !slices.Equal(got, []int{1, 2}) {
		t.Errorf("the ID itself matches %v", got)
	}
	id[31] ^= 1
	if got := targets(matches(&table, id)); !slices.Equal(got, []int{2}) {
		t.Errorf("an ID that differs in the last bit matches %v", got)
	}
}

// In 2012 DELAY and DROP rules could not be deleted.
func TestEveryActionIsDeletable(t *testing.T) {
	for _, a := range []Action{Forward, Demux, Delay, Drop} {
		var table Table[int]
		r := rule("01ab/16", a, 0, 0)
		mustAdd(t, &table, r)
		if table.Len() != 1 {
			t.Errorf("%v: Len() = %d", a, table.Len())
		}
		table.Remove(r, r)
		if table.Len() != 0 || table.Lookup(r.Prefix.ID) != nil {
			t.Errorf("%v was not deleted", a)
		}
	}
}

func TestNames(t *testing.T) {
	var table Table[int]
	for i, name := range []string{"svc:shop/*", "svc:shop/cart", "svc:shop/cart/eu"} {
		mustAdd(t, &table, &Rule[int]{Prefix: sal.MustParseName(name).Prefix(), Action: Demux, Target: i})
	}
	for name, want := range map[string][]int{
		"svc:shop":         {0},
		"svc:shop/cart":    {1, 0},
		"svc:shop/cart/eu": {2, 0},
		"svc:shop/other":   {0},
		"svc:web":          nil,
	} {
		if got := targets(matches(&table, sal.MustParseName(name).ServiceID())); !slices.Equal(got, want) {
			t.Errorf("%s matches %v, want %v", name, got, want)
		}
	}
}

func TestErrors(t *testing.T) {
	var table Table[int]
	there := rule("01/8", Demux, 0, 0)
	mustAdd(t, &table, there)
	for want, bad := range map[string]*Rule[int]{
		"already":  there,
		"action":   rule("01/8", 0, 0, 0),
		"257 bits": {Prefix: sal.Prefix{Bits: 257}, Action: Drop},
	} {
		err := table.Add(rule("02/8", Demux, 0, 0), bad)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not speak of %q", err, want)
		}
		if table.Len() != 1 {
			t.Errorf("%s: a part was added", want)
		}
	}
}

func TestCandidates(t *testing.T) {
	var table Table[int]
	mustAdd(t, &table,
		rule("01ab/16", Demux, 5, 1), rule("01ab/16", Demux, 9, 2), rule("01ab/16", Demux, 5, 3),
		rule("01/8", Forward, 99, 4), rule("/0", Drop, 0, 5), rule("/0", Forward, -1, 6))
	id := sal.ServiceID{1, 0xab}
	for range 20 {
		got := targets(table.Candidates(nil, id, 10))
		if !slices.Equal(got, []int{2, 1, 3, 4, 5}) && !slices.Equal(got, []int{2, 3, 1, 4, 5}) {
			t.Fatalf("candidates are %v", got)
		}
	}
	if got := targets(table.Candidates([]*Rule[int]{nil}[:0], id, 1)); !slices.Equal(got, []int{2}) {
		t.Errorf("one candidate is %v", got)
	}
	if len(table.Candidates(nil, id, 0)) != 0 {
		t.Error("no candidates were asked for")
	}
}

func TestWeights(t *testing.T) {
	var table Table[int]
	heavy := rule("01/8", Demux, 1, 1)
	heavy.Weight = 3
	mustAdd(t, &table, heavy, rule("01/8", Demux, 1, 2), rule("01/8", Demux, 0, 3))
	set, first := table.Lookup(sal.ServiceID{1}), [4]int{}
	picked := [4]int{}
	const n = 20_000
	for range n {
		picked[set.Pick().Target]++
		first[table.Candidates(nil, sal.ServiceID{1}, 3)[0].Target]++
	}
	for _, got := range [][4]int{picked, first} {
		if got[3] != 0 || got[1] < n*70/100 || got[1] > n*80/100 {
			t.Errorf("of %d, weight 3 had %d, weight 1 had %d, a lower priority %d", n, got[1], got[2], got[3])
		}
	}
}

func TestCounters(t *testing.T) {
	r := rule("01/8", Demux, 0, 0)
	var counting sync.WaitGroup
	for range 4 {
		counting.Go(func() {
			for range 1000 {
				r.Count(100)
			}
		})
	}
	counting.Wait()
	if packets, bytes := r.Counted(); packets != 4000 || bytes != 400_000 {
		t.Errorf("counted %d packets, %d bytes", packets, bytes)
	}
}

// TestUpdateIsAtomic moves a rule back and forth between prefixes that both
// contain an ID: readers must always find exactly one.
func TestUpdateIsAtomic(t *testing.T) {
	var table Table[int]
	id := sal.ServiceID{1, 0xab, 0xcd}
	here, there := rule("01ab/16", Demux, 0, 1), rule("01abc0/20", Demux, 0, 2)
	mustAdd(t, &table, here, rule("ff/8", Drop, 0, 0))
	done := make(chan struct{})
	var reading sync.WaitGroup
	for range 2 {
		reading.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					if got := matches(&table, id); len(got) != 1 {
						t.Errorf("a reader saw %v", targets(got))
						return
					}
				}
			}
		})
	}
	for range 3000 {
		if err := table.Update([]*Rule[int]{there}, []*Rule[int]{here}); err != nil {
			t.Fatal(err)
		}
		here, there = there, here
	}
	close(done)
	reading.Wait()
}

func TestLookupDoesNotAllocate(t *testing.T) {
	var table Table[int]
	mustAdd(t, &table, rule("/0", Drop, 0, 0), rule("01/8", Demux, 0, 0), rule("01/8", Demux, 0, 1), rule("01a0/12", Demux, 0, 1))
	id := sal.ServiceID{1, 0xab}
	dst := make([]*Rule[int], 0, 8)
	n := testing.AllocsPerRun(100, func() {
		table.Lookup(id).Pick()
		dst = table.Candidates(dst[:0], id, 8)
	})
	if n != 0 {
		t.Errorf("a lookup allocates %v times", n)
	}
}
