package gossip

import (
	"context"
	"fmt"
	"time"

	"github.com/serval-net/serval/pkg/resolver"
)

// lease is a registration that this node renews.
type lease struct {
	g      *Gossip
	reg    resolver.Registration
	issued time.Time // its latest record, as it says
	place  int       // among those to be renewed
}

var _ resolver.Updater = (*lease)(nil)

// Register implements resolver.Registrar. A node registers each service once.
func (g *Gossip) Register(_ context.Context, reg resolver.Registration) (resolver.Lease, error) {
	l := &lease{g: g, reg: reg}
	r, err := l.begin()
	if err != nil {
		return nil, err
	}
	g.tell(r)
	select {
	case g.wake <- struct{}{}:
	default:
	}
	return l, nil
}

func (l *lease) begin() (*resolver.Record, error) {
	g := l.g
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.ctx.Err() != nil {
		return nil, errClosed
	}
	if g.leases[l.reg.Service] != nil {
		return nil, fmt.Errorf("gossip: this node has registered %v already; close that lease first", l.reg.Service)
	}
	now := time.Now()
	r, err := l.issue(now, l.reg.Announce)
	if err == nil {
		g.leases[l.reg.Service] = l
		g.due.Set(l, now.Add(l.reg.RenewEvery()), now)
	}
	return r, err
}

// Update implements resolver.Updater. It does not wait for others to hear of it.
func (l *lease) Update(_ context.Context, change func(*resolver.Registration)) error {
	r, err := l.alter(change)
	if r != nil && !r.Renews() { // a load can wait for the next round
		l.g.tell(r)
	}
	return err
}

func (l *lease) alter(change func(*resolver.Registration)) (*resolver.Record, error) {
	l.g.mu.Lock()
	defer l.g.mu.Unlock()
	if l.g.leases[l.reg.Service] != l {
		return nil, fmt.Errorf("gossip: %v was withdrawn; register it again", l.reg.Service)
	}
	old, now := l.reg, time.Now()
	l.reg = old.Changed(change)
	r, err := l.issue(now, l.reg.Announce)
	if err != nil {
		l.reg = old
	} else {
		l.g.due.Set(l, now.Add(l.reg.RenewEvery()), now)
	}
	return r, err
}

// Close implements resolver.Lease. It does not wait for others to hear of it.
func (l *lease) Close(context.Context) error {
	r, err := l.end()
	if r != nil {
		l.g.tell(r)
	}
	return err
}

func (l *lease) end() (*resolver.Record, error) {
	l.g.mu.Lock()
	defer l.g.mu.Unlock()
	if l.g.leases[l.reg.Service] != l {
		return nil, nil
	}
	delete(l.g.leases, l.reg.Service)
	l.g.due.Remove(l)
	return l.issue(time.Now(), l.reg.Withdraw)
}

// issue signs a record and spreads it. The caller holds the lock.
func (l *lease) issue(now time.Time, sign func(time.Time) (*resolver.Record, error)) (*resolver.Record, error) {
	r, err := sign(l.next(now))
	if err != nil {
		return nil, err
	}
	return l.g.receive(r.Raw())
}

// next returns when the next record is issued, see resolver.NextIssue.
func (l *lease) next(now time.Time) time.Time {
	l.issued = resolver.NextIssue(l.issued, now)
	return l.issued
}

// renew keeps the leases known and the directory free of what is too old.
func (g *Gossip) renew() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-g.ctx.Done():
			return
		case <-g.wake:
		case <-timer.C:
		}
		timer.Reset(time.Until(g.step(time.Now())))
	}
}

// sweepEvery is how often expired records are looked for at least.
const sweepEvery = 10 * time.Second

// step renews what is due and returns when there is something to do next.
func (g *Gossip) step(now time.Time) time.Time {
	next := now.Add(sweepEvery)
	if expiry := g.Expire(now); !expiry.IsZero() && expiry.Before(next) {
		next = expiry
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for {
		l, ok := g.due.Pop(now)
		if !ok {
			break
		}
		if _, err := l.issue(now, l.reg.Announce); err != nil {
			g.log.Error("a registration could not be renewed", "service", l.reg.Service, "err", err)
		}
		g.due.Set(l, now.Add(l.reg.RenewEvery()), now)
	}
	if first := g.due.Next(now); !first.IsZero() && first.Before(next) {
		next = first
	}
	return next
}
