package due

import (
	"math/rand/v2"
	"testing"
	"time"
)

type item struct {
	at    time.Time
	place int
}

func newQueue() *Queue[*item] { return New(func(i *item) *int { return &i.place }) }

// TestOrder puts in, moves and takes out at random, and compares with a search
// through all.
func TestOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	q, now := newQueue(), time.Now()
	in := make(map[*item]bool)
	later := func() time.Time { return now.Add(time.Duration(r.IntN(1000)) * time.Second) }
	for step := range 20_000 {
		var some *item
		for i := range in {
			some = i
			break
		}
		switch n := r.IntN(6); {
		case some == nil || n < 2:
			i := &item{at: later()}
			q.Set(i, i.at, now)
			in[i] = true
		case n == 2:
			some.at = later()
			q.Set(some, some.at, now)
		case n == 3:
			at := later()
			q.Sooner(some, at, now)
			if at.Before(some.at) {
				some.at = at
			}
		case n == 4:
			q.Remove(some)
			q.Remove(some)
			delete(in, some)
		default:
			now = now.Add(time.Duration(r.IntN(20)) * time.Second)
			for {
				i, ok := q.Pop(now)
				if !ok {
					break
				}
				if !in[i] || i.at.After(now) || i.place != 0 {
					t.Fatalf("step %d: out came what is due in %v", step, i.at.Sub(now))
				}
				delete(in, i)
			}
			for i := range in {
				if !i.at.After(now) {
					t.Fatalf("step %d: what was due %v ago is still there", step, now.Sub(i.at))
				}
			}
		}
		var next time.Time
		for i := range in {
			if next.IsZero() || i.at.Before(next) {
				next = i.at
			}
		}
		if got := q.Next(now); !got.Equal(next) || q.Len() != len(in) {
			t.Fatalf("step %d: next is %v of %d, want %v of %d", step, got, q.Len(), next, len(in))
		}
	}
}

// TestFarAway: times that no duration reaches are later than all others.
func TestFarAway(t *testing.T) {
	q, now := newQueue(), time.Now()
	far, near, past := new(item), new(item), new(item)
	q.Set(far, time.Unix(1<<40, 0), now)
	q.Set(near, now.Add(time.Hour), now)
	q.Set(past, time.Time{}, now)
	for i, want := range []*item{past, near} {
		if got, ok := q.Pop(now.Add(time.Hour)); !ok || got != want {
			t.Errorf("number %d is the wrong one", i)
		}
	}
	if _, ok := q.Pop(now.Add(1000 * time.Hour)); ok {
		t.Error("the far future has come")
	}
}

func BenchmarkSetPop(b *testing.B) {
	q, now := newQueue(), time.Now()
	for i := range 1_000_000 {
		q.Set(new(item), now.Add(time.Duration(i)*time.Microsecond), now)
	}
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(time.Microsecond)
		if i, ok := q.Pop(now); ok {
			q.Set(i, now.Add(time.Second), now)
		}
	}
}
