package servicetable

import (
	"cmp"
	"encoding/binary"
	"slices"
	"unsafe"

	"github.com/serval-net/serval/pkg/sal"
)

// A fan is what a small trie below a whole name says, laid out for readers: the
// name's keys, cut where the answer changes. It is one array, whose lines the
// processor fetches at the same time, so a reader waits for memory once, where on
// its way down the trie it would three or four times. The trie stays beside it,
// for writers and for readers who do not want the longest prefix.
//
// The first element of the array is not a cut: it has the number of cuts in place of
// a key and the trie's node in place of a set.
type fan[T any] struct{ first *cut }

// cut is where a stretch of the keys begins for which the answer is one set, or
// none.
type cut struct {
	key uint64
	p   unsafe.Pointer // a *Set
}

// maxCuts bounds what a reader looks through, and a writer makes anew: 1 KiB.
const maxCuts = 63

// fanStem is the length of the stems below which only keys come.
const fanStem = 24

// fanOf returns the fan of a trie of at least two sets below a whole name, and
// false if that would have too many cuts.
func fanOf[T any](n *node[T]) (fan[T], bool) {
	sets := make([]*Set[T], 0, maxCuts)
	if !(slot[T]{node: n}).walk(func(s *Set[T]) bool {
		sets = append(sets, s)
		return len(sets) <= maxCuts
	}) {
		return fan[T]{}, false
	}
	// By their first key, and the widest first.
	slices.SortFunc(sets, func(a, b *Set[T]) int {
		return cmp.Or(cmp.Compare(keyOf(&a.prefix.ID), keyOf(&b.prefix.ID)), cmp.Compare(a.prefix.Bits, b.prefix.Bits))
	})
	cuts := []cut{{p: unsafe.Pointer(n)}, {}} // before the first set nothing is known
	say := func(key uint64, s *Set[T]) {
		if last := len(cuts) - 1; last > 0 && cuts[last].key == key {
			cuts = cuts[:last] // of nothing
		}
		cuts = append(cuts, cut{key, unsafe.Pointer(s)})
	}
	var around []*Set[T] // those that contain the key where we are, the narrowest last
	leave := func() (after uint64, more bool) {
		last := len(around) - 1
		after = lastKey(&around[last].prefix) + 1
		around = around[:last]
		return after, after != 0
	}
	for _, s := range sets {
		for len(around) > 0 && !contains(&around[len(around)-1].prefix, &s.prefix.ID) {
			after, _ := leave()
			say(after, innermost(around))
		}
		around = append(around, s)
		say(keyOf(&s.prefix.ID), s)
	}
	for len(around) > 0 {
		if after, more := leave(); more {
			say(after, innermost(around))
		}
	}
	if len(cuts)-1 > maxCuts {
		return fan[T]{}, false
	}
	cuts[0].key = uint64(len(cuts) - 1)
	return fan[T]{&slices.Clone(cuts)[0]}, true
}

func innermost[T any](around []*Set[T]) *Set[T] {
	if len(around) == 0 {
		return nil
	}
	return around[len(around)-1]
}

// keyOf returns the key of an ID.
func keyOf(id *sal.ServiceID) uint64 { return binary.BigEndian.Uint64(id[fanStem:]) }

// lastKey returns the last key that a prefix of at least a whole name contains.
func lastKey(p *sal.Prefix) uint64 {
	return keyOf(&p.ID) | ^uint64(0)>>(p.Bits-8*fanStem)
}

// find returns the set of the longest prefix that contains id, of the fan's sets.
func (f fan[T]) find(id *sal.ServiceID) *Set[T] {
	key, at := keyOf(id), 0
	all := unsafe.Slice(f.first, f.first.key+1)
	for i := 1; i < len(all); i++ {
		// All are looked at, rather than some one after the other: a guess
		// where to go on would be wrong half the time.
		if all[i].key <= key {
			at = i
		}
	}
	return (*Set[T])(all[at].p)
}

// trie returns the trie that says the same.
func (f fan[T]) trie() *node[T] { return (*node[T])(f.first.p) }
