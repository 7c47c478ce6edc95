package servicetable

import (
	"slices"
	"time"

	"github.com/serval-net/serval/internal/due"
)

// lease notes when rules expire that were added, and forgets it of those that
// were removed and not added again. The caller holds the lock.
func (t *Table[T]) lease(added, removed []*Rule[T]) {
	if t.leases != nil {
		for _, r := range removed {
			t.leases.Remove(r)
		}
	}
	for _, r := range added {
		if until := r.Until(); !until.IsZero() {
			t.set(r, until, time.Now())
		}
	}
}

func (t *Table[T]) set(r *Rule[T], until, now time.Time) {
	if t.leases == nil {
		t.leases = due.New(func(r *Rule[T]) *int { return &r.place })
	}
	t.leases.Set(r, until, now)
}

// Renew lets a rule expire at another time, or never if that is zero. It is false
// if the rule is not in the table, as one that has expired.
func (t *Table[T]) Renew(r *Rule[T], until time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	set := t.Get(r.Prefix)
	if set == nil || !slices.Contains(set.Rules(), r) {
		return false
	}
	r.renewed.Store(&until)
	switch {
	case !until.IsZero():
		t.set(r, until, time.Now())
	case t.leases != nil:
		t.leases.Remove(r)
	}
	return true
}

// atOnce is how many rules Expire removes before another writer may go on.
const atOnce = 64

// Expire removes the rules that have expired, and returns those, and when to call
// it next, the zero time if no rule expires. It looks at no others.
func (t *Table[T]) Expire(now time.Time) (expired []*Rule[T], next time.Time) {
	for {
		some, next := t.expire(now)
		expired = append(expired, some...)
		if len(some) < atOnce {
			return expired, next
		}
	}
}

func (t *Table[T]) expire(now time.Time) (expired []*Rule[T], next time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.leases == nil {
		return nil, time.Time{}
	}
	for len(expired) < atOnce {
		r, ok := t.leases.Pop(now)
		if !ok {
			break
		}
		expired = append(expired, r)
	}
	if len(expired) > 0 {
		t.update(nil, expired)
	}
	return expired, t.leases.Next(now)
}
