package resolver

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/sal"
)

func found(d *Directory, name sal.Name) int {
	list, err := d.Resolve(ctx, name)
	if (len(list) == 0) != errors.Is(err, ErrNoService) {
		panic(fmt.Sprint(list, err))
	}
	return len(list)
}

func announce(t testing.TB, d *Directory, reg Registration) *Record {
	t.Helper()
	r, err := reg.Announce(time.Now())
	mustRecord(t, r, err)
	if news, err := d.Add(r.Raw(), time.Now()); news == nil || err != nil {
		t.Fatalf("a fresh record gives %v, %v", news, err)
	}
	return r
}

func TestDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ids := newCluster(t, "*", "*")
		d := NewDirectory(ids[0].Cluster())
		changed, stop := d.Watch()
		defer stop()
		first := announce(t, d, registration(ids[0]))
		announce(t, d, registration(ids[1]))
		<-changed
		if n := found(d, web); n != 2 {
			t.Fatalf("%d instances", n)
		}
		if news, err := d.Add(first.Raw(), time.Now()); news != nil || err != nil {
			t.Errorf("a repetition gives %v, %v", news, err)
		}

		time.Sleep(DefaultTTL / 3)
		announce(t, d, registration(ids[0])) // renewed
		if news, err := d.Add(first.Raw(), time.Now()); news != nil || err != nil {
			t.Errorf("an old record gives %v, %v", news, err)
		}
		time.Sleep(DefaultTTL * 2 / 3)
		if n := found(d, web); n != 1 {
			t.Errorf("%d instances after the TTL of one", n)
		}
		for len(changed) > 0 {
			<-changed
		}
		d.Expire(time.Now())
		<-changed

		w, err := registration(ids[0]).Withdraw(time.Now())
		mustRecord(t, w, err)
		if news, _ := d.Add(w.Raw(), time.Now()); news == nil {
			t.Error("a withdrawal is no news")
		}
		if n := found(d, web); n != 0 {
			t.Errorf("%d instances after the withdrawal", n)
		}
		if n := len(d.Records()); n != 1 {
			t.Errorf("%d records are spread, want the withdrawal", n)
		}
	})
}

// TestNoResurrection: copies of a record that come after its end, from a node
// that was cut off, do not bring it back.
func TestNoResurrection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ids := newCluster(t, "*", "*")
		d := NewDirectory(ids[0].Cluster())
		crashed := announce(t, d, registration(ids[0]))
		stopped := announce(t, d, registration(ids[1]))
		w, err := registration(ids[1]).Withdraw(stopped.Issued) // as of the same moment
		mustRecord(t, w, err)
		d.Add(w.Raw(), time.Now())
		for range 100 {
			next := d.Expire(time.Now())
			if next.IsZero() {
				break
			}
			time.Sleep(time.Until(next))
			for _, late := range []*Record{crashed, stopped} {
				d.Add(late.Raw(), time.Now())
			}
			if n := found(d, web); n != 0 {
				t.Fatalf("%d instances", n)
			}
		}
		if len(d.services)+len(d.held)+len(d.known)+len(d.perNode)+d.due.Len() != 0 || d.changes.root.newer != &d.changes.root {
			t.Errorf("left over: %v %v %v %v", d.services, d.held, d.known, d.perNode)
		}
	})
}

// TestLateCopy: one that a node sees for the first time long after its issue
// does not live for a full TTL there.
func TestLateCopy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		id := newCluster(t, "*")[0]
		r, err := registration(id).Announce(time.Now())
		mustRecord(t, r, err)
		time.Sleep(DefaultTTL + clockSkew - time.Second)
		d := NewDirectory(id.Cluster())
		d.Add(r.Raw(), time.Now())
		time.Sleep(time.Second)
		if found(d, web) != 0 {
			t.Error("it is still there")
		}
	})
}

func TestDirectoryIsBounded(t *testing.T) {
	id := newCluster(t, "*")[0]
	d := NewDirectory(id.Cluster())
	reg := registration(id)
	for i := range MaxRecordsPerNode {
		reg.Service = sal.MustParseName(fmt.Sprintf("s%d", i))
		announce(t, d, reg)
	}
	reg.Service = web
	r, err := reg.Announce(time.Now())
	mustRecord(t, r, err)
	if err := d.Publish(ctx, r.Raw()); !errors.Is(err, ErrFull) {
		t.Errorf("one record too many: %v", err)
	}
	reg.Service = sal.MustParseName("s0")
	announce(t, d, reg) // renewing is no more records
	if d.Records(); len(d.held) != MaxRecordsPerNode || d.perNode[id.Node()] != MaxRecordsPerNode {
		t.Errorf("%d records are held", len(d.held))
	}
}

func TestSuspects(t *testing.T) {
	ids := newCluster(t, "*", "*")
	d := NewDirectory(ids[0].Cluster())
	reg := registration(ids[0])
	reg.Priority = 9
	announce(t, d, reg)
	announce(t, d, registration(ids[1]))
	best := func() identity.NodeID {
		list, _ := d.Resolve(ctx, web)
		return list[0].Node
	}
	if best() != ids[0].Node() {
		t.Fatal("the larger priority is not first")
	}
	d.Report(Instance{Node: ids[0].Node()}, false)
	if best() != ids[1].Node() {
		t.Error("an instance that did not answer comes first")
	}
	announce(t, d, reg)
	if best() != ids[0].Node() {
		t.Error("an instance that was renewed is suspect")
	}
}
