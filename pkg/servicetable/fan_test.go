package servicetable

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/serval-net/serval/pkg/sal"
)

// TestFans puts parts of the keys of one name into a table, nested and apart, and
// takes them out again. A table that is slow and plain knows what to find: at the
// borders of every part, and for keys at random.
func TestFans(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	name := sal.MustParseName("svc:cache")
	fans, wide := 0, 0
	for round := range 200 {
		var fast Table[int]
		var slow slowTable
		add := func(p sal.Prefix) {
			rule := &Rule[int]{Prefix: p, Action: Forward}
			if err := fast.Add(rule); err != nil {
				t.Fatal(err)
			}
			slow.add(rule)
		}
		if round%2 == 0 { // something to fall back on
			add(sal.MustParseName("svc:*").Prefix())
		}
		if round%3 == 0 {
			add(name.Prefix())
		}
		for range 1 + r.IntN(80) {
			bits := uint8(r.IntN(65))
			if round%5 == 0 {
				bits = uint8(r.IntN(4)) // several sets of rules
			}
			key := r.Uint64() & (7<<61 | 7<<30 | 7) // close together
			add(sal.KeyPrefix{Key: key &^ (1<<(64-bits) - 1), Bits: bits}.Of(name))
		}
		for {
			check := func(key uint64) {
				t.Helper()
				id := name.ServiceID().WithKey(key)
				got, want := fast.Lookup(id), slow.matches(id)
				switch {
				case len(want) == 0 && got != nil:
					t.Fatalf("round %d: key %x finds %v, want nothing", round, key, got.prefix)
				case len(want) > 0 && (got == nil || got.prefix != want[0].Prefix.Masked()):
					t.Fatalf("round %d: key %x finds %v, want %v", round, key, got, want[0].Prefix)
				}
			}
			for _, rule := range slow.rules {
				if rule.Prefix.Bits >= 8*fanStem {
					first, last := keyOf(&rule.Prefix.ID), lastKey(&rule.Prefix)
					for _, key := range []uint64{first - 1, first, last, last + 1} {
						check(key)
					}
				}
			}
			for range 20 {
				check(r.Uint64())
			}
			switch fast.placeOf(name).kind() {
			case fanned:
				fans++
			case inner:
				wide++
			}
			if len(slow.rules) < 2 {
				break
			}
			rule := slow.rules[r.IntN(len(slow.rules))]
			fast.Remove(rule)
			slow.remove(rule)
		}
	}
	if fans == 0 || wide == 0 {
		t.Errorf("%d fans and %d tries too large for one were tried; want some of both", fans, wide)
	}
}

// placeOf returns the place of what is below a name; its kind is 0 if there is none.
func (t *Table[T]) placeOf(name sal.Name) *place[T] {
	id := name.ServiceID()
	f := &t.current.Load().forest
	k := stemOf(&id, fanStem)
	if here := f.indexes[0].find(f.key.hash(&k), &k); here != nil {
		return here
	}
	return new(place[T])
}

func ExampleTable_Lookup_keys() {
	var t Table[string]
	cache := sal.MustParseName("svc:cache")
	half := sal.KeyPrefix{Key: 1 << 63, Bits: 1}
	t.Add(&Rule[string]{Prefix: cache.Prefix(), Action: Forward, Target: "everything"},
		&Rule[string]{Prefix: half.Of(cache), Action: Forward, Target: "the upper half"})
	fmt.Println(t.Lookup(cache.ServiceID().WithKey(7)).Pick().Target)
	fmt.Println(t.Lookup(cache.ServiceID().WithKey(1<<63 + 7)).Pick().Target)
	// Output:
	// everything
	// the upper half
}
