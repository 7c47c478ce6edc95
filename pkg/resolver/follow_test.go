package resolver

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/sal"
)

// image is what a follower makes of updates.
type image struct {
	all   map[instanceKey]Instance
	stale map[instanceKey]bool // not yet in the snapshot that is under way
}

func (m *image) take(u Update) {
	if u.Snapshot {
		m.stale = make(map[instanceKey]bool)
		for k := range m.all {
			m.stale[k] = true
		}
		if m.all == nil {
			m.all = make(map[instanceKey]Instance)
		}
	}
	for _, c := range u.Changes {
		k := instanceKey{c.Service, c.Node}
		delete(m.stale, k)
		if m.all[k] = c.Instance; c.Gone {
			delete(m.all, k)
		}
	}
	if !u.More {
		for k := range m.stale {
			delete(m.all, k)
		}
		m.stale = nil
	}
}

// differs says how the image is not what the directory lists.
func (m *image) differs(d *Directory) error {
	want, _ := d.Services(ctx)
	if len(want) != len(m.all) {
		return fmt.Errorf("the follower knows of %d instances, the directory of %d", len(m.all), len(want))
	}
	for _, in := range want {
		if got, ok := m.all[instanceKey{in.Service, in.Node}]; !ok || got.Load != in.Load || got.Weight != in.Weight || got.Addrs[0] != in.Addrs[0] {
			return fmt.Errorf("the follower knows %+v, the directory %+v", got, in)
		}
	}
	return nil
}

// plain is a record as if verified.
func plain(service string, node int, issued time.Time) *Record {
	r := &Record{Service: sal.MustParseName(service), Addrs: []netip.AddrPort{netip.MustParseAddrPort("192.0.2.1:7001")},
		Issued: issued, TTL: DefaultTTL}
	r.Node = identity.NodeID{byte(node), byte(node >> 8), byte(node >> 16)}
	r.raw = fmt.Appendf(nil, "%v %v %v", r.Service, r.Node, issued.UnixNano())
	return r
}

// put adds a record as if verified.
func (d *Directory) put(r *Record, now time.Time) error {
	_, changed, err := d.add(r, rand.Uint64(), now)
	d.notify(changed)
	return err
}

// TestFollow plays at random with a directory, while some follow at once, some
// rarely, and some so rarely that what they know is forgotten.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := rand.New(rand.NewPCG(5, 6))
		d := NewDirectory(nil)
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		type one struct {
			image
			next      func() (Update, bool)
			every     int
			snapshots int
		}
		var all []*one
		for _, every := range []int{1, 1, 7, 900} {
			next, stop := iter.Pull(d.Follow(ctx))
			defer stop()
			all = append(all, &one{next: next, every: every})
		}
		for step := range 4000 {
			now := time.Now()
			p := plain(fmt.Sprintf("s%d", r.IntN(700)), r.IntN(3), now)
			p.Withdrawn = r.IntN(4) == 0
			p.Load, p.Weight = float64(r.IntN(2)), r.IntN(2)
			if err := d.put(p, now); err != nil {
				t.Fatal(err)
			}
			// Something of which everybody hears, so that next does not wait.
			p = plain("tick", 0, now)
			p.Load = float64(step%1000) / 1000
			if err := d.put(p, now); err != nil {
				t.Fatal(err)
			}
			for _, f := range all {
				if step%f.every > 0 {
					continue
				}
				for more := true; more; {
					u, ok := f.next()
					if !ok {
						t.Fatal("the end")
					}
					f.take(u)
					if u.Snapshot {
						f.snapshots++
					}
					tick := instanceKey{p.Service, p.Node}
					more = u.More || f.all[tick].Version != uint64(now.UnixNano())
				}
				if err := f.differs(d); err != nil {
					t.Fatalf("step %d, one who follows every %d: %v", step, f.every, err)
				}
			}
			time.Sleep(time.Duration(r.IntN(600)) * time.Millisecond)
			d.Expire(time.Now())
		}
		for _, f := range all {
			if want := f.every > 100; want != (f.snapshots > 1) {
				t.Errorf("one who follows every %d got %d snapshots", f.every, f.snapshots)
			}
		}
		cancel()
		for _, f := range all {
			if _, ok := f.next(); ok {
				t.Error("no end")
			}
		}
		if d.changes.root.newer.Record == nil || len(d.watchers) != 0 {
			t.Error("followers are left over")
		}
	})
}

// TestFollowSnapshot: a large one comes in parts, and changes meanwhile count.
func TestFollowSnapshot(t *testing.T) {
	d, now := NewDirectory(nil), time.Now()
	d.SetLimits(Limits{PerNode: 5000})
	const n = 3000
	for i := range n {
		d.put(plain(fmt.Sprintf("s%d", i), 1, now), now)
	}
	var m image
	parts := 0
	for u := range d.Follow(ctx) {
		if u.Snapshot != (parts == 0) || len(u.Changes) > atOnce {
			t.Fatalf("part %d is %v and has %d changes", parts, u.Snapshot, len(u.Changes))
		}
		parts++
		m.take(u)
		if parts == 2 {
			for _, i := range []int{0, n - 1} { // told already, not yet told
				w := plain(fmt.Sprintf("s%d", i), 1, now.Add(1))
				w.Withdrawn = true
				d.put(w, now)
			}
			d.put(plain("new", 1, now), now)
		}
		if !u.More {
			break
		}
	}
	if err := m.differs(d); err != nil || parts < n/atOnce {
		t.Errorf("after %d parts: %v", parts, err)
	}
}

// TestFollowSays what is in one update.
func TestFollowSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ids := newCluster(t, "*")
		d := NewDirectory(ids[0].Cluster())
		next, stop := iter.Pull(d.Follow(ctx))
		defer stop()
		if u, _ := next(); !u.Snapshot || u.More || len(u.Changes) > 0 {
			t.Errorf("an empty directory gives %+v", u)
		}
		reg := registration(ids[0])
		announce(t, d, reg)
		if u, _ := next(); u.Snapshot || len(u.Changes) != 1 || u.Changes[0].Gone || u.Changes[0].Service != web || !u.Changes[0].Expires.IsZero() {
			t.Errorf("a registration gives %+v", u)
		}
		time.Sleep(time.Second)
		announce(t, d, reg) // nothing new
		own, err := Registration{Service: NodeName(ids[0].Node()), Identity: ids[0], Addrs: reg.Addrs}.Announce(time.Now())
		mustRecord(t, own, err)
		d.Publish(ctx, own.Raw()) // nobody's business
		reg.Load = 0.5
		time.Sleep(time.Second)
		announce(t, d, reg)
		if u, _ := next(); len(u.Changes) != 1 || u.Changes[0].Load != 0.5 {
			t.Errorf("a load gives %+v", u)
		}
		go func() {
			time.Sleep(DefaultTTL)
			d.Expire(time.Now())
		}()
		if u, _ := next(); len(u.Changes) != 1 || !u.Changes[0].Gone || u.Changes[0].Node != ids[0].Node() {
			t.Errorf("expiry gives %+v", u)
		}
	})
}
