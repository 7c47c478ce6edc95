package servicetable

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/serval-net/serval/pkg/sal"
)

func TestLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var table Table[int]
		begin := time.Now()
		if gone, next := table.Expire(begin); len(gone) > 0 || !next.IsZero() {
			t.Errorf("in an empty table %d rules expire, the next at %v", len(gone), next)
		}
		forever := rule("01/8", Demux, 0, 0)
		var leased []*Rule[int]
		for i := range 4 {
			r := rule("01/8", Demux, 0, 1+i)
			r.Expires = begin.Add(time.Duration(i+1) * time.Minute)
			leased = append(leased, r)
		}
		mustAdd(t, &table, append(leased, forever)...)
		table.Remove(leased[1]) // its lease goes with it
		if !table.Renew(leased[0], begin.Add(time.Hour)) || !leased[0].Until().Equal(begin.Add(time.Hour)) {
			t.Error("a lease is not renewed")
		}
		if !table.Renew(leased[3], time.Time{}) || !leased[3].Until().IsZero() {
			t.Error("a lease is not made to last for ever")
		}
		_, next := table.Expire(begin)
		if want := leased[2].Expires; !next.Equal(want) {
			t.Errorf("next is %v, want %v", next, want)
		}
		for i, want := range []int{4, 3, 2} {
			gone, next := table.Expire(time.Now())
			if table.Len() != want || (len(gone) == 1) != (i > 0) {
				t.Errorf("at %v %d rules are left and %d gone", time.Since(begin), table.Len(), len(gone))
			}
			time.Sleep(time.Until(next))
		}
		if gone, next := table.Expire(time.Now()); len(gone) > 0 || !next.IsZero() {
			t.Errorf("rules that last for ever expire: %d, at %v", len(gone), next)
		}
		if table.Renew(leased[0], time.Now()) {
			t.Error("a rule that has gone is renewed")
		}
	})
}

// TestExpireMany: all of them go, in order, and what was replaced stays.
func TestExpireMany(t *testing.T) {
	var table Table[int]
	now := time.Now()
	const n = 5 * atOnce
	var all []*Rule[int]
	for i := range n {
		p := sal.Prefix{ID: sal.ServiceID{1, byte(i), byte(i >> 8)}, Bits: 24}
		all = append(all, &Rule[int]{Prefix: p, Action: Forward, Target: i, Expires: now.Add(time.Duration(i))})
	}
	mustAdd(t, &table, all...)
	if err := table.Update(all[:1], all[:1]); err != nil { // in one step
		t.Fatal(err)
	}
	gone, next := table.Expire(now.Add(n - 2))
	if len(gone) != n-1 || table.Len() != 1 || !next.Equal(now.Add(n-1)) {
		t.Fatalf("%d of %d expire, %d are left, the next at %v", len(gone), n, table.Len(), next.Sub(now))
	}
	for i, r := range gone {
		if r != all[i] {
			t.Fatalf("number %d is %d", i, r.Target)
		}
	}
	if set := table.Lookup(all[n-1].Prefix.ID); set == nil || set.Rules()[0] != all[n-1] {
		t.Error("the last one is not found")
	}
}
