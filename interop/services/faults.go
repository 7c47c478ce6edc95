//go:build linux

package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/serval-net/serval/interop/internal/command"
	"github.com/serval-net/serval/interop/internal/suite"
	"github.com/serval-net/serval/interop/services/traffic"
)

// calm is the system that beside a fault is what the same load sees without it.
const calm = "calm"

// faultReplicas is how many instances there are when something breaks.
const faultReplicas = 4

// fault is something that breaks and is mended while clients dial.
type fault struct {
	strike, mend func(s *site) error
	gone         string // the instance whose connections may fail; empty if none
}

// outcome is what the clients saw of it.
type outcome struct {
	*traffic.Result
	from, to time.Duration // of the fault, since the load's start
	gone     string
}

// suffer puts a load on the site. The fault lasts for the second of three equal
// parts of it.
func suffer(ctx context.Context, s *site, l traffic.Load, f *fault) (*outcome, error) {
	l.Where = service
	a, err := s.ask(ctx, l)
	if err != nil {
		return nil, err
	}
	o := &outcome{}
	begin := time.Now()
	part := l.For / 3
	if err := command.Pause(ctx, part); err != nil {
		return nil, err
	}
	if err := f.strike(s); err != nil {
		return nil, err
	}
	o.from = time.Since(begin)
	if err := command.Pause(ctx, part); err != nil {
		return nil, err
	}
	o.to = time.Since(begin)
	if err := f.mend(s); err != nil {
		return nil, err
	}
	o.gone = f.gone
	o.Result, err = a.result()
	return o, err
}

// rows are the figures of the dials that were due during the fault: how many of
// them failed, and how long the others took.
func (o *outcome) rows(name string) (map[string]float64, error) {
	d := o.Dialled.During(o.from, o.to)
	failed := d.Failed
	var why []traffic.Failure
	for _, f := range o.Failures {
		switch {
		case f.At < o.from || f.At >= o.to:
		case o.gone != "" && f.Instance == o.gone:
			failed-- // it was there already
		default:
			why = append(why, f)
		}
	}
	explain(why)
	got := map[string]float64{name + "-failed": float64(failed), name + "-asked": float64(d.Asked)}
	for suffix, q := range map[string]float64{"-p50-ms": 0.5, "-p999-ms": 0.999} {
		late, err := quantile(slices.Clone(d.Micros), q)
		if err != nil {
			return nil, err
		}
		got[name+suffix] = late / 1000
	}
	return got, nil
}

// faultRows are those of every fault, and more.
func faultRows(name string, more ...suite.Row) []suite.Row {
	return append([]suite.Row{
		{Name: name + "-failed", Unit: "requests"}, {Name: name + "-asked", Unit: "requests"},
		{Name: name + "-p50-ms", Unit: "ms"}, {Name: name + "-p999-ms", Unit: "ms"},
	}, more...)
}

func nothing(*site) error { return nil }

// blackHole freezes half the replicas: the kernel still takes what is sent to
// them, and nobody answers.
func (b plan) blackHole(ctx context.Context, system string) (map[string]float64, error) {
	s, err := newSite(ctx, faultReplicas)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	half := s.replicas[:faultReplicas/2]
	f := &fault{strike: nothing, mend: nothing}
	if system != calm {
		f = &fault{
			strike: func(*site) error { return each(half, (*replica).freeze) },
			mend:   func(*site) error { return each(half, (*replica).thaw) },
		}
	}
	o, err := suffer(ctx, s, traffic.Load{For: b.fault, Dials: dialRate}, f)
	if err != nil {
		return nil, err
	}
	got, err := o.rows("fault-blackhole")
	if err != nil || system == calm {
		return got, err
	}
	got["fault-blackhole-caught"] = float64(o.Dialled.During(0, o.from).Failed)
	got["fault-blackhole-return-s"] = o.returned(half).Seconds()
	return got, nil
}

func (r *replica) freeze() error { return r.Freeze() }
func (r *replica) thaw() error   { return r.Thaw() }

func each(all []*replica, f func(*replica) error) error {
	var errs []error
	for _, r := range all {
		errs = append(errs, f(r))
	}
	return errors.Join(errs...)
}

// returned is how long after the fault all of these answered, to a second, or how
// long was watched if they did not.
func (o *outcome) returned(all []*replica) time.Duration {
	first := int(o.to/time.Second) + 1
	last := first
	for _, r := range all {
		second := slices.IndexFunc(o.Second[min(first, len(o.Second)):], func(n map[string]int) bool { return n[r.name] > 0 })
		if second < 0 {
			return time.Duration(len(o.Second))*time.Second - o.to
		}
		last = max(last, first+second)
	}
	return time.Duration(last+1)*time.Second - o.to
}
