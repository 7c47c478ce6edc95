package flowset

import (
	"math"
	"sort"
)

// span is the half-open range [from, to) of stream offsets.
type span struct{ from, to uint64 }

// rangeSet is an ordered set of disjoint spans. The zero value is empty.
type rangeSet struct{ s []span }

func (r *rangeSet) empty() bool { return len(r.s) == 0 }

// size is how many offsets are in the set.
func (r *rangeSet) size() (n uint64) {
	for _, s := range r.s {
		n += s.to - s.from
	}
	return n
}

// search returns the index of the first span that ends at or after off.
func (r *rangeSet) search(off uint64) int {
	if n := len(r.s); n == 0 || r.s[n-1].to < off {
		return n
	}
	return sort.Search(len(r.s), func(i int) bool { return r.s[i].to >= off })
}

// add inserts [from, to), merging what touches it.
func (r *rangeSet) add(from, to uint64) {
	if from >= to {
		return
	}
	i := r.search(from)
	j := i
	for j < len(r.s) && r.s[j].from <= to {
		from, to = min(from, r.s[j].from), max(to, r.s[j].to)
		j++
	}
	r.replace(i, j, span{from, to})
}

// remove takes [from, to) out.
func (r *rangeSet) remove(from, to uint64) {
	if from >= to || len(r.s) == 0 {
		return
	}
	i := r.search(from + 1)
	j := i
	var keep [2]span
	n := 0
	for j < len(r.s) && r.s[j].from < to {
		if r.s[j].from < from {
			keep[n] = span{r.s[j].from, from}
			n++
		}
		if r.s[j].to > to {
			keep[n] = span{to, r.s[j].to}
			n++
		}
		j++
	}
	if i != j {
		r.replace(i, j, keep[:n]...)
	}
}

// gap returns the first offset at or after off that is not in the set, and
// where the span after it begins.
func (r *rangeSet) gap(off uint64) (from, to uint64) {
	i := r.search(off + 1)
	if i < len(r.s) && r.s[i].from <= off {
		off = r.s[i].to
		i++
	}
	if i < len(r.s) {
		return off, r.s[i].from
	}
	return off, math.MaxUint64
}

func (r *rangeSet) replace(i, j int, with ...span) {
	switch {
	case len(with) == j-i:
		copy(r.s[i:], with)
	case len(with) < j-i:
		copy(r.s[i:], with)
		r.s = append(r.s[:i+len(with)], r.s[j:]...)
	default:
		for range len(with) - (j - i) {
			r.s = append(r.s, span{})
		}
		copy(r.s[i+len(with):], r.s[j:])
		copy(r.s[i:], with)
	}
}
