package scenario

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/serval-net/serval/interop/internal/command"
	"github.com/serval-net/serval/interop/lab"
)

// Bin is the length of a timeline's bins.
const Bin = 20 * time.Millisecond

// Runner applies a scenario to a network.
type Runner struct {
	Scenario *Scenario
	Net      *lab.Paths
	// Tell says something to the program on a host. It must not wait for what
	// comes of it. Nil is an error for scenarios that tell.
	Tell func(h Host, text string) error
	// Watch is whose interfaces' received bytes are recorded; "" is the client's.
	Watch Host

	flaps map[*lab.Iface]func() error
}

// Run does what the scenario says, from now on, and returns when it ends or ctx
// does, with the timeline of events and interfaces. Events of one time are done
// at once. The first error ends it. It is called once.
func (r *Runner) Run(ctx context.Context) (*Timeline, error) {
	r.flaps = map[*lab.Iface]func() error{}
	t := &Timeline{
		Title:    r.Scenario.Title,
		Scenario: r.Scenario.String(),
		Start:    time.Now(),
		Length:   milliseconds(r.Scenario.End),
		Bin:      milliseconds(Bin),
	}
	watching, stop := context.WithDeadline(ctx, t.Start.Add(r.Scenario.End))
	defer stop()
	samples := make(chan []Series, 1)
	go func() { samples <- r.watch(watching, t) }()
	err := r.events(ctx, t)
	if err == nil {
		<-watching.Done()
		err = ctx.Err()
	}
	stop()
	t.Series = <-samples
	for _, calm := range r.flaps {
		err = errors.Join(err, calm())
	}
	return t, err
}

func (r *Runner) events(ctx context.Context, t *Timeline) error {
	for events := r.Scenario.Events; len(events) > 0; {
		at := events[0].At
		if err := command.Pause(ctx, time.Until(t.Start.Add(at))); err != nil {
			return err
		}
		type done struct {
			Mark
			error
		}
		answers := make(chan done)
		n := 0
		for ; n < len(events) && events[n].At == at; n++ {
			a := events[n].Action
			do, err := r.prepare(a)
			if err != nil {
				return fmt.Errorf("at %v %v: %w", at, a, err)
			}
			go func() {
				start := time.Now()
				err := do()
				answers <- done{Mark{t.ms(start), milliseconds(time.Since(start)), Lab, a.Words()}, err}
			}()
		}
		var errs []error
		for range n {
			d := <-answers
			t.add(d.Mark)
			if d.error != nil {
				errs = append(errs, fmt.Errorf("at %v %s: %w", at, d.What, d.error))
			}
		}
		if err := errors.Join(errs...); err != nil {
			return err
		}
		events = events[n:]
	}
	return nil
}

// prepare returns how to do an action.
func (r *Runner) prepare(a Action) (do func() error, err error) {
	if a.Verb == Tell {
		if r.Tell == nil {
			return nil, errors.New("nobody to tell")
		}
		return func() error { return r.Tell(a.Host, a.Tell) }, nil
	}
	if a.Path >= len(r.Net.Ways) || a.To >= len(r.Net.Ways) {
		return nil, errors.New("no such path")
	}
	w := r.Net.Ways[a.Path]
	switch a.Verb {
	case Blackhole:
		return func() error { return w.Blackhole(a.Direction) }, nil
	case Unblackhole:
		return func() error { return w.Unblackhole(a.Direction) }, nil
	case Firewall:
		return func() error { return w.Firewall(a.On) }, nil
	case Translate:
		return func() error { return w.SetNAT(a.NAT) }, nil
	case Rebind:
		return w.Rebind, nil
	case Set:
		path := w.Path()
		for _, c := range a.Set {
			c.apply(&path)
		}
		return func() error { return w.SetPath(path) }, nil
	}
	i := w.Client
	if a.Host == Server {
		i = w.Server
	}
	if i == nil {
		return nil, fmt.Errorf("the %s has no interface there", a.Host)
	}
	return r.onInterface(a, i)
}

func (r *Runner) onInterface(a Action, i *lab.Iface) (do func() error, err error) {
	switch a.Verb {
	case Down:
		return i.LinkDown, nil
	case Up:
		return i.LinkUp, nil
	case Cut:
		return func() error { return i.Carrier(false) }, nil
	case Mend:
		return func() error { return i.Carrier(true) }, nil
	case Remove:
		return i.AddrRemove, nil
	case Add:
		return i.AddrAdd, nil
	case Swap:
		return func() error { return i.AddrSwap(a.Other) }, nil
	case Move:
		return func() error { return i.Plug(r.Net.Ways[a.To]) }, nil
	case Flap:
		if r.flaps[i] != nil {
			return nil, errors.New("it flaps already")
		}
		r.flaps[i] = r.Net.Flap(i, a.Period)
		return func() error { return nil }, nil
	case Calm:
		calm := r.flaps[i]
		if calm == nil {
			return nil, errors.New("it does not flap")
		}
		delete(r.flaps, i)
		return calm, nil
	}
	return nil, fmt.Errorf("unknown verb %q", a.Verb)
}

// watch samples the interfaces until ctx ends.
func (r *Runner) watch(ctx context.Context, t *Timeline) []Series {
	var ifaces []*lab.Iface
	var series []Series
	for n, w := range r.Net.Ways {
		i, host := w.Client, Client
		if r.Watch == Server {
			i, host = w.Server, Server
		}
		if i == nil {
			continue
		}
		name := "path " + w.Name
		if slices.ContainsFunc(r.Scenario.Events, func(e Event) bool { return e.Verb == Move && e.Host == host && e.Path == n }) {
			name = i.Name() // at more than one path
		}
		ifaces = append(ifaces, i)
		series = append(series, Series{Name: name, Kind: Path, Bytes: make([]uint64, t.bins())})
	}
	before := make([]uint64, len(ifaces))
	since := t.Start
	for n, i := range ifaces {
		c, _ := i.Counters()
		before[n] = c.Received
	}
	tick := time.NewTicker(Bin)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
		now := time.Now()
		for n, i := range ifaces {
			c, err := i.Counters()
			if err != nil {
				continue // it is being moved; the next sample has it all
			}
			spread(series[n].Bytes, t.ms(since)/t.Bin, t.ms(now)/t.Bin, c.Received-before[n])
			before[n] = c.Received
		}
		since = now
	}
	return series
}
