// Package servicetable decides where the first packet of a connection goes.
//
// A [Table] holds rules for prefixes of service IDs. Looking up an ID finds the
// rules of the longest prefix that contains it, best first, and from there the
// rules of shorter prefixes, so that a caller can fall through when the best
// ones fail. A prefix of 0 bits contains everything and makes a default rule;
// one of 256 bits is a single ID.
//
// Lookups take no lock, allocate nothing and see the table as it was at one
// moment. Updates are serialised; each becomes visible at once and as a whole.
package servicetable

import (
	"fmt"
	"iter"
	"sync"
	"sync/atomic"

	"github.com/serval-net/serval/internal/due"
	"github.com/serval-net/serval/pkg/sal"
)

// Table is a service table whose rules have targets of type T. The zero value
// is an empty table. All methods are safe for concurrent use.
type Table[T any] struct {
	mu      sync.Mutex // serialises writers
	leases  *due.Queue[*Rule[T]]
	current atomic.Pointer[snapshot[T]]
}

// snapshot is the whole table at one moment. Nothing that is reachable from it
// ever changes, but for the counters and leases of rules.
type snapshot[T any] struct {
	forest[T]
	rules int
}

// Add adds rules, all at once. It changes nothing and returns an error if one
// of them is invalid or already there. The fields of a rule must not be changed
// after Add.
func (t *Table[T]) Add(rules ...*Rule[T]) error { return t.Update(rules, nil) }

// Remove removes rules, all at once; those that are not in the table are
// ignored.
func (t *Table[T]) Remove(rules ...*Rule[T]) { t.Update(nil, rules) }

// Update removes and adds rules in one step: no lookup sees only a part of it.
func (t *Table[T]) Update(add, remove []*Rule[T]) error {
	for _, r := range add {
		if err := r.check(); err != nil {
			return err
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.update(add, remove)
}

// update is Update for rules that are valid. The caller holds the lock.
func (t *Table[T]) update(add, remove []*Rule[T]) error {
	var next snapshot[T]
	if now := t.current.Load(); now != nil {
		next = *now
	} else {
		next.key = newSecret()
	}
	by := new(owner)
	for _, r := range remove {
		p := r.Prefix.Masked()
		set, ok := next.get(p).without(r)
		switch {
		case !ok:
			continue
		case set == nil:
			next.remove(by, p)
		default:
			next.insert(by, set)
		}
		next.rules--
	}
	for _, r := range add {
		set, ok := next.get(r.Prefix.Masked()).with(r)
		if !ok {
			return fmt.Errorf("servicetable: this %v rule for %v is in the table already; add each rule once", r.Action, r.Prefix)
		}
		next.insert(by, set)
		next.rules++
	}
	t.current.Store(&next)
	t.lease(add, remove)
	return nil
}

// Lookup returns the rules of the longest prefix that contains id, nil if none
// does.
func (t *Table[T]) Lookup(id sal.ServiceID) *Set[T] { return t.lookup(&id, allBits) }

// Matches returns the rule sets of all prefixes that contain id, longest first.
func (t *Table[T]) Matches(id sal.ServiceID) iter.Seq[*Set[T]] {
	return func(yield func(*Set[T]) bool) {
		now := t.current.Load()
		if now == nil {
			return
		}
		for set := now.find(&id, allBits); set != nil; set = now.find(&id, int(set.prefix.Bits)) {
			if !yield(set) {
				return
			}
		}
	}
}

// Candidates appends to dst the rules to try for id, best first: those of
// longer prefixes before those of shorter ones, then higher priorities before
// lower ones, and among equals in an order drawn at random by weight. It stops
// when dst has limit rules, or after a Drop rule, since that is final.
func (t *Table[T]) Candidates(dst []*Rule[T], id sal.ServiceID, limit int) []*Rule[T] {
	for set := range t.Matches(id) {
		var final bool
		if dst, final = set.appendCandidates(dst, limit); final {
			break
		}
	}
	return dst
}

// Get returns the rules of exactly the prefix p, nil if it has none.
func (t *Table[T]) Get(p sal.Prefix) *Set[T] {
	if now := t.current.Load(); now != nil {
		return now.get(p.Masked())
	}
	return nil
}

// Len returns the number of rules.
func (t *Table[T]) Len() int {
	if now := t.current.Load(); now != nil {
		return now.rules
	}
	return 0
}

// All returns the rule sets of all prefixes, as they are when the loop starts,
// each prefix before those that it contains.
func (t *Table[T]) All() iter.Seq[*Set[T]] {
	return func(yield func(*Set[T]) bool) {
		if now := t.current.Load(); now != nil {
			now.walk(yield)
		}
	}
}

func (t *Table[T]) lookup(id *sal.ServiceID, below int) *Set[T] {
	if now := t.current.Load(); now != nil {
		return now.find(id, below)
	}
	return nil
}
