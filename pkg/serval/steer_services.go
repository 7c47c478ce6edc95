package serval

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/serval-net/serval/internal/nodectl"
	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/servicetable"
)

// Routes implements nodectl.Node.
func (n steered) Routes(service string, limit int) (list []nodectl.Route, total int) {
	sets := n.services.All()
	if service != "" {
		name, err := sal.ParseName(service)
		if err != nil {
			return []nodectl.Route{}, 0
		}
		sets = n.services.Matches(name.ServiceID())
	}
	byID := make(map[uint64]nodectl.Rule)
	for _, r := range n.Rules() {
		byID[r.ID] = r
	}
	list = []nodectl.Route{}
	for set := range sets {
		for _, r := range set.Rules() {
			if total++; len(list) < limit {
				list = append(list, routeOf(r, byID))
			}
		}
	}
	return list, total
}

// routeOf shows a rule of the service table. Those that were added by hand are
// known by their ID.
func routeOf(r *servicetable.Rule[target], byID map[uint64]nodectl.Rule) nodectl.Route {
	out := nodectl.Route{Prefix: r.Prefix.String(), Origin: nodectl.ByResolver}
	switch {
	case r.Target.learnt != nil:
		out.Service = r.Target.learnt.Load().Service.String()
	case r.Target.rule != nil:
		out.Origin, out.Rule = nodectl.ByHand, byID[r.Target.rule.ID]
		out.Service, out.Rule.Keys = r.Target.rule.Service, nil
	case r.Target.listener != nil:
		out.Origin, out.Service = nodectl.ByListener, r.Target.listener.name.String()
	}
	out.Action = r.Action.String()
	if out.Origin != nodectl.ByHand {
		out.Priority, out.Next = r.Priority, r.Target.addrs
	}
	out.Weight = int(max(r.Weight, 1))
	out.Packets, out.Bytes = r.Counted()
	return out
}

// Listeners implements nodectl.Node.
func (n steered) Listeners() []nodectl.Listener {
	out := []nodectl.Listener{}
	for _, l := range n.Node.Listeners() {
		lc := l.Config()
		s := nodectl.Listener{Service: l.name.String(), Datagram: !l.takes(false), Weight: max(lc.Weight, 1), Priority: lc.Priority, Keys: lc.Keys,
			Load: l.load(), Connections: l.Connections(), Waiting: len(l.incoming), Packets: l.arrived(), Withdrawn: l.Retired()}
		if lc.Balance != resolver.BalanceDefault {
			s.Balance = lc.Balance.String()
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b nodectl.Listener) int { return cmp.Compare(a.Service, b.Service) })
	return out
}

// arrived counts the first packets for a listener.
func (l *Listener) arrived() (packets uint64) {
	l.registering.Lock()
	defer l.registering.Unlock()
	for _, r := range l.rules {
		n, _ := r.Counted()
		packets += n
	}
	return packets
}

// meant returns the listeners of a service, those below a wildcard, or all.
func (n steered) meant(service string) ([]*Listener, error) {
	all := n.Node.Listeners()
	if service == "" {
		return all, nil
	}
	name, err := sal.ParseName(service)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(all, func(l *Listener) bool { return !name.Covers(l.name) }), nil
}

// SetListeners implements nodectl.Node.
func (n steered) SetListeners(ctx context.Context, s nodectl.Setting) (changed int, err error) {
	balance := resolver.BalanceDefault
	if s.Balance != nil {
		if balance, err = resolver.ParseBalance(*s.Balance); err != nil {
			return 0, err
		}
	}
	all, err := n.meant(s.Service)
	for _, l := range all {
		e := l.Update(ctx, func(lc *ListenConfig) {
			if s.Weight != nil {
				lc.Weight = *s.Weight
			}
			if s.Priority != nil {
				lc.Priority = *s.Priority
			}
			if s.Balance != nil {
				lc.Balance = balance
			}
			if s.Keys != nil {
				lc.Keys = *s.Keys
			}
		})
		if e != nil {
			err = errors.Join(err, e)
			continue
		}
		changed++
	}
	return changed, err
}

// DrainService implements nodectl.Node.
func (n steered) DrainService(ctx context.Context, d nodectl.ServiceDrain, progress func(left int)) (moved nodectl.Moved, err error) {
	all, err := n.meant(d.Service)
	if err != nil {
		return moved, err
	}
	if len(all) == 0 {
		progress(0)
		return moved, nil
	}
	var mu sync.Mutex
	left, last := make(map[*Listener]int), -1
	errs := make([]error, len(all))
	var draining sync.WaitGroup
	for i, l := range all {
		draining.Go(func() {
			counted := func(n int) {
				mu.Lock()
				defer mu.Unlock()
				left[l] = n
				sum := 0
				for _, n := range left {
					sum += n
				}
				if len(left) == len(all) && sum != last {
					last = sum
					progress(sum)
				}
			}
			if !d.Move {
				errs[i] = l.Drain(ctx, counted)
				return
			}
			m, err := l.MoveClients(ctx, time.Duration(d.Grace), counted)
			mu.Lock()
			defer mu.Unlock()
			errs[i] = err
			moved.Idle, moved.Busy = moved.Idle+m.Idle, moved.Busy+m.Busy
		})
	}
	draining.Wait()
	if err := errors.Join(errs...); err != nil {
		return moved, fmt.Errorf("%d connections are left: %w", max(last, 0), err)
	}
	return moved, nil
}

// UndrainService implements nodectl.Node.
func (n steered) UndrainService(ctx context.Context, service string) (listeners int, err error) {
	all, err := n.meant(service)
	for _, l := range all {
		err = errors.Join(err, l.Undrain(ctx))
	}
	return len(all), err
}
