package resolver

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/sal"
)

const (
	manyServices = 1_000_000
	manyNodes    = 10_000
)

// crowd is a directory with a million services on ten thousand nodes.
var crowd = sync.OnceValue(func() *Directory {
	d := NewDirectory(nil)
	d.SetLimits(Limits{Records: manyServices, PerNode: manyServices / manyNodes})
	now := time.Now()
	for i := range manyServices {
		if err := d.put(crowded(i, now), now); err != nil {
			panic(err)
		}
	}
	return d
})

func crowded(i int, now time.Time) *Record {
	r := plain(fmt.Sprintf("crowd/s%d", i), i%manyNodes, now)
	r.TTL = MaxTTL
	r.raw = append(r.raw, make([]byte, 450-len(r.raw))...) // as long as real ones
	return r
}

// TestScale: at full size, none of what happens all the time looks through all
// the directory holds. The bound is far above what this takes, and far below what
// it would take then.
func TestScale(t *testing.T) {
	if testing.Short() {
		t.Skip("a million records take a gigabyte and some seconds")
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	d := crowd()
	runtime.GC()
	runtime.ReadMemStats(&after)
	t.Logf("%d bytes for each record", (after.HeapAlloc-before.HeapAlloc)/manyServices)

	begin := time.Now()
	if err := d.put(plain("one/more", 0, begin), begin); !errors.Is(err, ErrFull) {
		t.Errorf("one too many: %v", err)
	}
	var m image
	u, f := Update{More: true}, new(follower)
	for u.More {
		u, _ = d.step(f)
		m.take(u)
	}
	if len(m.all) != manyServices {
		t.Errorf("a snapshot has %d instances", len(m.all))
	}

	begin = time.Now()
	const times = 3000
	for i := range times {
		now := time.Now()
		r := crowded(rand.IntN(manyServices), now)
		r.Weight = i + 1
		if found, err := d.Resolve(ctx, r.Service); err != nil || len(found) != 1 {
			t.Fatalf("%v: %v, %v", r.Service, found, err)
		}
		if err := d.put(r, now); err != nil {
			t.Fatal(err)
		}
		if u, _ := d.step(f); len(u.Changes) != 1 || u.Changes[0].Service != r.Service {
			t.Fatalf("%d changes are told", len(u.Changes))
		}
		d.Expire(now)
	}
	if took := time.Since(begin); took > 20*time.Second {
		t.Errorf("%d times resolved, changed, followed and expired took %v", times, took)
	} else {
		t.Logf("%v to resolve, change, follow and expire one", took/times)
	}
	d.unfollow(f)
}

func BenchmarkDirectoryMillion(b *testing.B) {
	d := crowd()
	names := make([]sal.Name, 1<<16)
	for i := range names {
		names[i] = sal.MustParseName(fmt.Sprintf("crowd/s%d", rand.IntN(manyServices)))
	}
	b.Run("resolve", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, err := d.Resolve(ctx, names[i%len(names)]); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("none", func(b *testing.B) {
		none := sal.MustParseName("crowd/nobody")
		for b.Loop() {
			d.Resolve(ctx, none)
		}
	})
	b.Run("renew", func(b *testing.B) {
		f := new(follower)
		defer d.unfollow(f)
		for i := 0; b.Loop(); i++ {
			now := time.Now()
			if err := d.put(crowded(i%manyServices, now), now); err != nil {
				b.Fatal(err)
			}
			d.Expire(now)
		}
	})
	b.Run("snapshot", func(b *testing.B) {
		for b.Loop() {
			f := new(follower)
			for u, _ := d.step(f); u.More; u, _ = d.step(f) {
			}
			d.unfollow(f)
		}
	})
}
