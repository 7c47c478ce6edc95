package serval

import (
	"context"
	"slices"
	"sync/atomic"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/servicetable"
)

// Learn fills the node's service table with FORWARD rules for all instances that
// a source tells of, but its own, and keeps them up to date: with Config.Forward,
// the node is a service router for them. It ends when stop is called, which
// removes the rules, or with the node. stop waits; calling it again does nothing.
func (n *Node) Learn(from resolver.Follower) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		cancel()
		return cancel
	}
	done := make(chan struct{})
	n.wg.Add(2)
	go func() {
		defer n.wg.Done()
		select {
		case <-n.quit:
		case <-done:
		}
		cancel()
	}()
	go func() {
		defer n.wg.Done()
		defer close(done)
		l := learnt{node: n, rules: make(map[instanceKey]*learntRules)}
		for u := range from.Follow(ctx) {
			l.take(u)
		}
		l.end()
	}()
	return func() {
		cancel()
		<-done
	}
}

// learnt is what one source has told.
type learnt struct {
	node  *Node
	rules map[instanceKey]*learntRules
	lap   uint64 // counts snapshots
	open  bool   // a snapshot is not complete yet
}

// learntRules are an instance's rules, one for each part of the key space that it
// owns.
type learntRules struct {
	lap   uint64
	info  *atomic.Pointer[resolver.Instance]
	rules []*servicetable.Rule[target]
}

// take brings the service table up to date in one step.
func (l *learnt) take(u resolver.Update) {
	if u.Snapshot {
		l.lap++
		l.open = true
	}
	var add, remove []*servicetable.Rule[target]
	for i := range u.Changes {
		c := &u.Changes[i]
		key := keyOf(&c.Instance)
		old := l.rules[key]
		if c.Gone || c.Node == l.node.ID() || len(c.Addrs) == 0 {
			if old != nil {
				remove = append(remove, old.rules...)
				delete(l.rules, key)
			}
			continue
		}
		if old != nil {
			old.lap = l.lap
			if was := old.info.Load(); was.Weight == c.Weight && was.Priority == c.Priority &&
				slices.Equal(was.Addrs, c.Addrs) && slices.Equal(was.Keys, c.Keys) {
				old.info.Store(&c.Instance) // another load at most: the rules go on counting
				continue
			}
			remove = append(remove, old.rules...)
		}
		r := learn(&c.Instance)
		r.lap = l.lap
		l.rules[key] = r
		add = append(add, r.rules...)
	}
	if l.open && !u.More {
		l.open = false
		for key, r := range l.rules {
			if r.lap != l.lap {
				remove = append(remove, r.rules...)
				delete(l.rules, key)
			}
		}
	}
	if len(add)+len(remove) > 0 {
		if err := l.node.services.Update(add, remove); err != nil {
			l.node.log.Warn("cannot take in what a resolver told", "error", err)
		}
	}
}

// learn makes the rules for an instance.
func learn(in *resolver.Instance) *learntRules {
	r := &learntRules{info: new(atomic.Pointer[resolver.Instance])}
	r.info.Store(in)
	prefixes := []sal.Prefix{in.Service.Prefix()}
	if len(in.Keys) > 0 && !in.Service.IsWildcard() {
		prefixes = prefixes[:0]
		for _, k := range in.Keys {
			prefixes = append(prefixes, k.Of(in.Service))
		}
	}
	to := target{addrs: in.Addrs, memo: new(hopMemo), learnt: r.info}
	for _, p := range prefixes {
		r.rules = append(r.rules, &servicetable.Rule[target]{Prefix: p, Action: servicetable.Forward,
			Priority: in.Priority, Weight: uint32(max(in.Weight, 0)), Target: to})
	}
	return r
}

// end removes all rules.
func (l *learnt) end() {
	var remove []*servicetable.Rule[target]
	for _, r := range l.rules {
		remove = append(remove, r.rules...)
	}
	l.node.services.Remove(remove...)
}
