package servicetable

import (
	"cmp"
	"math/rand/v2"
	"slices"

	"github.com/serval-net/serval/pkg/sal"
)

// Set is the rules of one prefix at one moment. It never changes and is never
// empty.
type Set[T any] struct {
	prefix sal.Prefix
	rules  []*Rule[T]
}

// Prefix returns the prefix that the rules are for.
func (s *Set[T]) Prefix() sal.Prefix { return s.prefix }

// Rules returns the rules by falling priority, older ones first among equals.
// The caller must not change the slice.
func (s *Set[T]) Rules() []*Rule[T] { return s.rules }

// Pick returns one of the rules of the highest priority, at random by weight.
func (s *Set[T]) Pick() *Rule[T] {
	best := topPriority(s.rules)
	return best[pick(best)]
}

// appendCandidates orders the rules as Table.Candidates says, and reports
// whether that was the end of the list.
func (s *Set[T]) appendCandidates(dst []*Rule[T], limit int) ([]*Rule[T], bool) {
	for rest := s.rules; len(rest) > 0; {
		group := topPriority(rest)
		rest = rest[len(group):]
		start := len(dst)
		dst = append(dst, group...)
		for i := start; i < len(dst); i++ {
			if i >= limit {
				return dst[:i], true
			}
			j := i + pick(dst[i:])
			dst[i], dst[j] = dst[j], dst[i]
			if dst[i].Action == Drop {
				return dst[:i+1], true
			}
		}
	}
	return dst, false
}

// topPriority returns the rules at the start that have the first's priority.
func topPriority[T any](rules []*Rule[T]) []*Rule[T] {
	n := 1
	for n < len(rules) && rules[n].Priority == rules[0].Priority {
		n++
	}
	return rules[:n]
}

// pick returns the index of one of the rules, at random by weight.
func pick[T any](rules []*Rule[T]) int {
	if len(rules) == 1 {
		return 0
	}
	var sum uint64
	for _, r := range rules {
		sum += r.weight()
	}
	n := rand.Uint64N(sum)
	for i, r := range rules {
		if w := r.weight(); n < w {
			return i
		} else {
			n -= w
		}
	}
	panic("unreachable")
}

// with returns a set that has r too, and false if s has it already.
func (s *Set[T]) with(r *Rule[T]) (*Set[T], bool) {
	if s == nil {
		return &Set[T]{prefix: r.Prefix.Masked(), rules: []*Rule[T]{r}}, true
	}
	if slices.Contains(s.rules, r) {
		return s, false
	}
	i, _ := slices.BinarySearchFunc(s.rules, r.Priority, func(have *Rule[T], p int) int {
		if have.Priority >= p {
			return -1 // behind those of the same priority
		}
		return cmp.Compare(p, have.Priority)
	})
	rules := make([]*Rule[T], 0, len(s.rules)+1)
	rules = append(append(append(rules, s.rules[:i]...), r), s.rules[i:]...)
	return &Set[T]{prefix: s.prefix, rules: rules}, true
}

// without returns a set that does not have r, nil if r was the only one, and
// false if s does not have it.
func (s *Set[T]) without(r *Rule[T]) (*Set[T], bool) {
	if s == nil {
		return nil, false
	}
	i := slices.Index(s.rules, r)
	switch {
	case i < 0:
		return s, false
	case len(s.rules) == 1:
		return nil, true
	}
	rules := slices.Concat(s.rules[:i], s.rules[i+1:])
	return &Set[T]{prefix: s.prefix, rules: rules}, true
}
