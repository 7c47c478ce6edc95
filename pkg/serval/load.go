package serval

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"github.com/serval-net/serval/pkg/resolver"
)

const (
	// reportEvery is how often an instance says at most how busy it is, and how
	// often its own function is asked while nothing happens.
	reportEvery = time.Second
	// sampleEvery is how often its own function is asked at most.
	sampleEvery = 100 * time.Millisecond
	// loadStep is the least change of load that others are told of.
	loadStep = 0.1
)

// loading is how busy a listener is. What SYNs look at is read without a lock.
type loading struct {
	asks    atomic.Bool   // there is a function to ask
	said    atomic.Uint64 // its answer, as math.Float64bits has it
	asked   atomic.Int64  // when, on the node's clock
	told    atomic.Uint64 // what others know
	moved   chan struct{} // something may have to be told
	watched chan struct{} // closed when nobody watches it any more
}

func (l *loading) init() {
	l.moved = make(chan struct{}, 1)
	l.watched = make(chan struct{})
}

// poke makes the load be looked at.
func (l *loading) poke() {
	select {
	case l.moved <- struct{}{}:
	default:
	}
}

// own is the answer of the listener's own function.
func (l *loading) own() float64 { return math.Float64frombits(l.said.Load()) }

// known is the load that others know.
func (l *loading) known() float64 { return math.Float64frombits(l.told.Load()) }

// load is how busy the instance is, 0 to resolver.MaxLoad.
func (l *Listener) load() float64 {
	fill := float64(len(l.incoming)) / float64(max(l.backlog, 1))
	if l.full() {
		fill = max(fill, 1)
	}
	return max(min(fill, resolver.MaxLoad), l.loading.own())
}

// overloaded reports whether the instance takes no further connection now.
func (l *Listener) overloaded() bool {
	if l.asks.Load() && l.sampleAge() >= sampleEvery {
		l.poke()
	}
	return l.full() || l.own() >= 1
}

func (l *Listener) sampleAge() time.Duration {
	return time.Duration(int64(l.node.now()) - l.asked.Load())
}

// queueMoved looks whether the backlog's fill is worth telling.
func (l *Listener) queueMoved() {
	if worthTelling(l.known(), l.load()) {
		l.poke()
	}
}

// sample asks the listener's own function, unless that was just done. The caller
// must not hold a lock.
func (l *Listener) sample() {
	f := l.Config().Load
	l.asks.Store(f != nil)
	if f == nil {
		l.said.Store(0)
		return
	}
	if l.asked.Load() != 0 && l.sampleAge() < sampleEvery {
		return
	}
	load := f()
	if !(load > 0) { // nor NaN
		load = 0
	}
	l.said.Store(math.Float64bits(min(load, resolver.MaxLoad)))
	l.asked.Store(int64(l.node.now()))
}

// watchLoad tells others of the load while the listener lives, and of the instance
// itself if that could not be done before.
func (l *Listener) watchLoad() {
	defer close(l.watched)
	var r report
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-l.moved:
		case <-l.closed:
			return
		}
		l.sample()
		load := l.load()
		tell, wait := r.due(time.Now(), l.known(), load)
		if tell {
			l.publish(load)
		}
		if l.asks.Load() {
			wait = min(wait, reportEvery)
		}
		if l.enrolAgain() {
			wait = min(wait, enrolRetry)
		}
		timer.Reset(wait)
	}
}

// publish tells others of the load.
func (l *Listener) publish(load float64) {
	ctx, cancel := context.WithTimeout(context.Background(), registerTimeout)
	defer cancel()
	l.registering.Lock()
	defer l.registering.Unlock()
	l.told.Store(math.Float64bits(load))
	if err := l.updateLocked(ctx, func(r *resolver.Registration) { r.Load = load }); err != nil {
		l.node.log.Debug("the load could not be registered", "service", l.name, "error", err)
	}
}

// report decides when a load is told.
type report struct {
	at time.Time // when one was told last
}

// due reports whether to tell a load now, or else when to look again.
func (r *report) due(now time.Time, told, load float64) (tell bool, wait time.Duration) {
	if !worthTelling(told, load) {
		return false, time.Hour
	}
	if wait := reportEvery - now.Sub(r.at); wait > 0 {
		return false, wait
	}
	r.at = now
	return true, time.Hour
}

// worthTelling reports whether a load differs from the one that is known by more
// than a little, or in that it is too much.
func worthTelling(told, load float64) bool {
	return math.Abs(told-load) > loadStep || (told >= 1) != (load >= 1)
}
