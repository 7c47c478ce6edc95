//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/interop/services/traffic"
)

func TestMain(m *testing.M) {
	if isPart, err := part(); isPart {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// testSite is four replicas, each on a host of its own, and a client's host.
func testSite(t *testing.T) *site {
	t.Helper()
	if testing.Short() {
		t.Skip("it starts a cluster of processes, for some seconds")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	s, err := newSite(ctx, faultReplicas)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

const (
	testRate = 50 // dials per second
	testFor  = 4500 * time.Millisecond
)

// TestHalfBlackHoled: with half the instances frozen, dials reach the others.
func TestHalfBlackHoled(t *testing.T) {
	s := testSite(t)
	half := s.replicas[:faultReplicas/2]
	o, err := suffer(t.Context(), s, traffic.Load{For: testFor, Dials: testRate}, &fault{
		strike: func(*site) error { return each(half, (*replica).freeze) },
		mend:   func(*site) error { return each(half, (*replica).thaw) },
	})
	if err != nil {
		t.Fatal(err)
	}
	d := o.Dialled.During(o.from, o.to)
	if d.Failed > 0 || d.Asked < testRate/2 {
		t.Errorf("%d of %d dials failed: %+v", d.Failed, d.Asked, o.Failures)
	}
	// Nobody answers between two instants well within the fault but those who live.
	for second := int(o.from.Seconds()) + 1; second < int(o.to.Seconds()); second++ {
		for _, r := range half {
			if n := o.Second[second][r.name]; n > 0 {
				t.Errorf("%s answered %d times while it was frozen", r.name, n)
			}
		}
	}
	if answered(o.Result, s.replicas[faultReplicas/2:]) == 0 || answered(o.Result, half) == 0 {
		t.Errorf("not all instances took part: %v", o.Answered)
	}
}

// TestKilled: when an instance is killed, only its own connections notice.
func TestKilled(t *testing.T) {
	s := testSite(t)
	victim := s.replicas[0]
	load := traffic.Load{For: testFor, Dials: testRate, Keep: 8, Pause: askEvery}
	o, err := suffer(t.Context(), s, load, &fault{
		strike: func(*site) error { victim.Kill(); return nil },
		mend:   nothing,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range o.Failures {
		if f.Instance != victim.name {
			t.Errorf("after %v a request at %q failed: %s", f.At, f.Instance, f.Why)
		}
	}
	if o.Dialled.Asked < testRate || o.Answered[victim.name] == 0 || answered(o.Result, s.replicas[1:]) == 0 {
		t.Errorf("not all instances took part: %v", o.Answered)
	}
}

// TestClocks: instances whose clocks are off by less than two minutes take part, and
// one whose clock is off by more is told what to do.
func TestClocks(t *testing.T) {
	s := testSite(t)
	for i, off := range []time.Duration{skew, -skew} {
		if _, err := s.replicaOf(t.Context(), i, service+"@"+off.String()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.known(t.Context(), faultReplicas+2); err != nil {
		t.Error(err)
	}
	for _, off := range []string{"@5m", "@-5m"} {
		if _, err := s.replicaOf(t.Context(), 0, service+off); err == nil || !strings.Contains(err.Error(), "set the clocks") {
			t.Errorf("one that is off by %s: %v", off, err)
		}
	}
}

func answered(r *traffic.Result, by []*replica) (n int) {
	for _, one := range by {
		n += r.Answered[one.name]
	}
	return n
}

// TestReturned: of those that were frozen, the last to answer counts.
func TestReturned(t *testing.T) {
	a, b := &replica{name: "a"}, &replica{name: "b"}
	o := &outcome{Result: &traffic.Result{Second: []map[string]int{
		{"a": 1, "b": 1}, {"c": 1}, {"c": 1, "a": 1}, {"b": 2}, {"c": 1},
	}}, from: time.Second, to: 1500 * time.Millisecond}
	if got := o.returned([]*replica{a, b}); got != 2500*time.Millisecond {
		t.Errorf("they returned after %v", got)
	}
	if got := o.returned([]*replica{a, {name: "d"}}); got != 3500*time.Millisecond {
		t.Errorf("one that never returned did so after %v", got)
	}
}
