package serval

import (
	"context"
	"math"
	"net"
	"sync"
	"time"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/servicetable"
)

// enrolment is what others may know of a listener: its rules here and its
// registration elsewhere.
type enrolment struct {
	registering sync.Mutex // held during requests: the last one counts
	cfg         ListenConfig
	rules       []*servicetable.Rule[target]
	lease       resolver.Lease // nil while it is not registered
	held        reasons
	missing     bool // it could not be registered again
}

// reasons say why a listener is not to be found.
type reasons uint8

const (
	suspended reasons = 1 << iota
	drained
	closing
)

// registerTimeout bounds how long Listen waits for the registrar, and Close for
// the withdrawal.
const registerTimeout = 5 * time.Second

// enrol registers the instance unless it is held back.
func (l *Listener) enrol(ctx context.Context) error {
	l.registering.Lock() // an update waits: it may know better
	defer l.registering.Unlock()
	return l.enrolLocked(ctx)
}

func (l *Listener) enrolLocked(ctx context.Context) error {
	r := l.node.cfg.Registrar
	if r == nil || l.held != 0 || l.lease != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	reg := resolver.Registration{Service: l.name, Identity: l.node.id, Addrs: l.node.registered()}
	l.cfg.register(&reg)
	reg.Load = l.load()
	l.told.Store(math.Float64bits(reg.Load))
	lease, err := r.Register(ctx, reg)
	if err != nil {
		return err
	}
	l.lease = lease
	return nil
}

// update registers the instance at the node's present addresses.
func (l *Listener) update(ctx context.Context) {
	l.registering.Lock()
	defer l.registering.Unlock()
	addrs := l.node.registered()
	if len(addrs) == 0 {
		return
	}
	if err := l.updateLocked(ctx, resolver.At(addrs...)); err != nil {
		l.node.log.Info("the new addresses could not be registered", "service", l.name, "error", err)
	}
}

// updateLocked changes the registration if there is one that can be changed.
func (l *Listener) updateLocked(ctx context.Context, change func(*resolver.Registration)) error {
	if u, ok := l.lease.(resolver.Updater); ok {
		return u.Update(ctx, change)
	}
	return nil
}

// withdraw takes the instance back, so that nobody finds it, for one reason
// more.
func (l *Listener) withdraw(ctx context.Context, why reasons) error {
	l.registering.Lock()
	defer l.registering.Unlock()
	if l.held&closing != 0 {
		return net.ErrClosed
	}
	l.held |= why
	lease := l.lease
	l.lease = nil
	if lease == nil {
		return nil
	}
	return lease.Close(ctx)
}

// restore takes a reason back, and registers the instance if none is left.
func (l *Listener) restore(ctx context.Context, why reasons) error {
	l.registering.Lock()
	defer l.registering.Unlock()
	if l.held&closing != 0 {
		return net.ErrClosed
	}
	l.held &^= why
	if l.held != 0 {
		return nil
	}
	l.census.refuse(false) // first: who is found should answer
	err := l.enrolLocked(ctx)
	if err != nil {
		l.missing = true
		l.poke()
	}
	return err
}

// enrolRetry is how often an instance that should be registered tries it again.
const enrolRetry = time.Second

// enrolAgain registers an instance that could not be when it was restored, and
// reports whether that is to be tried once more.
func (l *Listener) enrolAgain() bool {
	l.registering.Lock()
	defer l.registering.Unlock()
	if !l.missing {
		return false
	}
	err := l.enrolLocked(context.Background())
	l.missing = err != nil
	return l.missing
}

// Config returns what the listener was made with or what Update made of it.
func (l *Listener) Config() ListenConfig {
	l.registering.Lock()
	defer l.registering.Unlock()
	return l.cfg
}

// Update changes the configuration of a live listener for all to see at once;
// connections stay as they are. The function must replace slices, not write to
// them, and not call the listener. Node and Backlog stay. An invalid change is an
// error and changes nothing; after an error of the registrar the change holds here
// and is tried again there in the background.
func (l *Listener) Update(ctx context.Context, change func(*ListenConfig)) error {
	l.registering.Lock()
	defer l.registering.Unlock()
	if err := l.change(ctx, change); err != nil {
		return &OpError{Op: "update", Service: l.name.String(), Err: err}
	}
	return nil
}

func (l *Listener) change(ctx context.Context, change func(*ListenConfig)) error {
	if l.held&closing != 0 {
		return net.ErrClosed
	}
	lc := l.cfg
	change(&lc)
	lc.Node, lc.Backlog = l.cfg.Node, l.cfg.Backlog
	if err := lc.check(l.name); err != nil {
		return err
	}
	rules := l.makeRules(lc.Keys)
	if err := l.node.services.Update(rules, l.rules); err != nil {
		return err
	}
	l.rules, l.cfg = rules, lc
	l.poke()
	ctx, cancel := context.WithTimeout(ctx, registerTimeout)
	defer cancel()
	return l.updateLocked(ctx, lc.register)
}
