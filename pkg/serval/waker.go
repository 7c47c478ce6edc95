package serval

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serval-net/serval/pkg/sal"
)

// Limits of DELAY rules.
const (
	// maxWakings bounds the services of a node that hooks are starting.
	maxWakings = 64
	// maxHeld bounds the first packets that a node holds meanwhile.
	maxHeld = 1024
	// A hook that fails runs again after leastPause at the soonest, twice as
	// long each time, up to mostPause.
	leastPause = time.Second
	mostPause  = 30 * time.Second
	// maxSetbacks bounds the failures that are remembered.
	maxSetbacks = 1024
)

// waker runs the hooks of DELAY rules: for each service one at a time, however
// many wait for it. A service is being woken until an instance is there or the
// hook's time is over.
type waker struct {
	ctx    context.Context
	cancel context.CancelFunc
	runs   sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	wakings  map[wakingKey]*waking
	setbacks map[wakingKey]setback
	held     int // first packets, in all
}

// wakingKey is a service, without a key of its key space, that a rule holds.
type wakingKey struct {
	rule    *rule
	service sal.ServiceID
}

// waking is one service on its way.
type waking struct {
	key   wakingKey
	name  sal.Name // zero if only the ID is known
	until time.Time

	ran    chan struct{} // closed when the hook has ended
	failed error         // of the hook; to be read after that
	over   chan struct{} // closed when an instance is there or will not be
	err    error         // if it will not be; to be read after that
	seen   chan struct{} // gets one when a dial has found an instance

	dials atomic.Int32 // that wait

	held []heldSYN // guarded by waker.mu
}

// heldSYN is a first packet that waits.
type heldSYN struct {
	answer
	flow sal.FlowID
}

// setback is why waking a service failed, and when it may be tried again.
type setback struct {
	err   error
	pause time.Duration
	until time.Time
}

func (w *waker) init() {
	w.ctx, w.cancel = context.WithCancel(context.Background())
	w.wakings, w.setbacks = make(map[wakingKey]*waking), make(map[wakingKey]setback)
}

// close ends all hooks and waits for them.
func (w *waker) close() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.cancel()
	w.runs.Wait()
}

// begin returns the waking of a service that is under way, or a new one, which
// run is called for. If it is for a dial, that counts. The caller holds mu.
func (w *waker) begin(key wakingKey, name sal.Name, dial bool, now time.Time, run func(*waking)) (*waking, error) {
	dials := int32(0)
	if dial {
		dials = 1
	}
	if g := w.wakings[key]; g != nil {
		g.dials.Add(dials)
		return g, nil
	}
	back := w.setbacks[key]
	switch {
	case w.closed:
		return nil, errNodeClosed
	case now.Before(back.until):
		return nil, back.err
	case len(w.wakings) >= maxWakings:
		return nil, because(ErrRefused, "hooks are starting %d services already; try again later", maxWakings)
	}
	g := &waking{key: key, name: name, until: now.Add(key.rule.Hook.timeout()),
		ran: make(chan struct{}), over: make(chan struct{}), seen: make(chan struct{}, 1)}
	g.dials.Add(dials)
	w.wakings[key] = g
	w.runs.Go(func() { run(g) })
	return g, nil
}

// hold keeps a first packet, unless it is a repetition, and reports whether
// there was room. The caller holds mu.
func (w *waker) hold(g *waking, a *answer, flow sal.FlowID) bool {
	for i := range g.held {
		if g.held[i].flow == flow && g.held[i].from == a.from {
			g.held[i].answer = *a
			return true
		}
	}
	if w.held >= maxHeld {
		return false
	}
	g.held = append(g.held, heldSYN{*a, flow})
	w.held++
	return true
}

// end ends a waking, whose err is final, and returns what it held.
func (w *waker) end(g *waking, now time.Time) []heldSYN {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.wakings, g.key)
	held := g.held
	g.held = nil
	w.held -= len(held)
	if g.err == nil {
		delete(w.setbacks, g.key)
	} else {
		w.setBack(g, now)
	}
	close(g.over)
	return held
}

// setBack notes a failure. The caller holds mu.
func (w *waker) setBack(g *waking, now time.Time) {
	back, known := w.setbacks[g.key]
	if !known && len(w.setbacks) >= maxSetbacks {
		for k, b := range w.setbacks {
			if !now.Before(b.until) {
				delete(w.setbacks, k)
			}
		}
		if len(w.setbacks) >= maxSetbacks {
			return
		}
	}
	back.err, back.pause = g.err, min(max(2*back.pause, leastPause), mostPause)
	back.until = now.Add(back.pause)
	w.setbacks[g.key] = back
}
