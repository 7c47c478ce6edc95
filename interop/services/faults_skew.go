//go:build linux

package main

import (
	"context"
	"time"

	"github.com/serval-net/serval/interop/services/traffic"
)

// skew is how far the clocks of instances are off: nearly as much as may be.
const skew = 110 * time.Second

// clocks adds an instance whose clock is ahead and one whose clock is behind to
// two whose clocks are right. Only what they sign bears the wrong time: a process
// cannot have a time of day of its own.
func (b plan) clocks(ctx context.Context, system string) (map[string]float64, error) {
	s, err := newSite(ctx, faultReplicas/2)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	offs := []time.Duration{skew, -skew}
	if system == calm {
		offs = []time.Duration{0, 0}
	}
	var added []*replica
	f := &fault{
		strike: func(*site) error {
			for i, off := range offs {
				r, err := s.replicaOf(ctx, i, service+"@"+off.String())
				if err != nil {
					return err
				}
				added = append(added, r)
			}
			return s.known(ctx, faultReplicas)
		},
		mend: nothing,
	}
	o, err := suffer(ctx, s, traffic.Load{For: b.fault / 2, Dials: dialRate}, f)
	if err != nil {
		return nil, err
	}
	got, err := o.rows("fault-skew")
	if err != nil {
		return nil, err
	}
	theirs, all := o.answers(added, o.from, o.to)
	got["fault-skew-share"] = float64(theirs) / float64(all)
	return got, nil
}

// answers counts, for the full seconds of a time, how many answers came from some
// replicas and from all.
func (o *outcome) answers(from []*replica, begin, end time.Duration) (theirs, all int) {
	for second := int(begin/time.Second) + 1; second < min(int(end/time.Second), len(o.Second)); second++ {
		for name, n := range o.Second[second] {
			all += n
			for _, r := range from {
				if r.name == name {
					theirs += n
				}
			}
		}
	}
	return theirs, all
}
