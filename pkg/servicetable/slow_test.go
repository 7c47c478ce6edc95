package servicetable

import (
	"cmp"
	"slices"

	"github.com/serval-net/serval/pkg/sal"
)

// slowTable is what a Table should do, in the fewest words.
type slowTable struct{ rules []*Rule[int] }

func (t *slowTable) add(r *Rule[int]) { t.rules = append(t.rules, r) }

func (t *slowTable) remove(r *Rule[int]) {
	t.rules = slices.DeleteFunc(t.rules, func(have *Rule[int]) bool { return have == r })
}

// matches returns the rules for id: longest prefix, then highest priority, then
// oldest first.
func (t *slowTable) matches(id sal.ServiceID) []*Rule[int] {
	var found []*Rule[int]
	for _, r := range t.rules {
		if r.Prefix.Contains(id) {
			found = append(found, r)
		}
	}
	slices.SortStableFunc(found, func(a, b *Rule[int]) int {
		return cmp.Or(cmp.Compare(b.Prefix.Bits, a.Prefix.Bits), cmp.Compare(b.Priority, a.Priority))
	})
	return found
}

func matches(t *Table[int], id sal.ServiceID) []*Rule[int] {
	var found []*Rule[int]
	for set := range t.Matches(id) {
		found = append(found, set.Rules()...)
	}
	return found
}
