package component

import (
	"cmp"
	"errors"
	"log/slog"
	"reflect"
	"sync"
	"time"
)

// A component that fails is tried again after retryFirst, then ever more seldom, up
// to retryMax.
const (
	retryFirst = time.Second
	retryMax   = 30 * time.Second
)

// entry is a component and the goroutine that starts it, waits for it and starts it
// again.
type entry struct {
	m     *Manager
	id    key
	stop  chan struct{} // closed to end it
	first chan error    // how the first start went
	freed chan struct{} // closed when it takes no new work, and never will
	done  chan struct{} // closed when nothing of it runs

	mu      sync.Mutex
	spec    Spec
	state   State
	since   time.Time
	err     error
	running Running // if state is Ready or Ending
}

func newEntry(m *Manager, s Spec) *entry {
	return &entry{m: m, id: s.key(), spec: s, state: Starting, since: time.Now(), stop: make(chan struct{}),
		first: make(chan error, 1), freed: make(chan struct{}), done: make(chan struct{})}
}

// take reports whether the entry can go on with another spec, and whether that
// changed it. One that has failed is better started anew at once.
func (e *entry) take(s Spec) (ok, changed bool) {
	e.mu.Lock()
	now, state, update := e.spec, e.state, e.running.Update
	e.mu.Unlock()
	changed = !reflect.DeepEqual(now.Config, s.Config)
	if state == Failed || changed && (state != Ready || update == nil || !update(s.Config)) {
		return false, false
	}
	// A start that comes later is with what is wanted now.
	e.mu.Lock()
	defer e.mu.Unlock()
	e.spec = s
	return true, changed
}

// close ends the entry and returns when it takes no new work.
func (e *entry) close() {
	close(e.stop)
	<-e.freed
}

func (e *entry) run() {
	defer close(e.done)
	defer e.m.forget(e)
	defer e.free()
	wait, told := retryFirst, ""
	for {
		e.mu.Lock()
		start := e.spec.Start
		e.mu.Unlock()
		r, err := start(e.m.ctx)
		began := time.Now()
		if err == nil {
			e.set(Ready, nil, r)
			e.report(nil)
			if told != "" {
				e.m.log.Warn(e.id.kind+" runs again", "name", e.id.name)
				told = ""
			}
			select {
			case <-r.Done:
				if err = ended(r); time.Since(began) > retryMax {
					wait = retryFirst
				}
				r.Close()
			case <-e.stop:
				e.set(Ending, nil, r)
				r.Close()
				e.free()
				<-r.Done
				return
			}
		}
		e.set(Failed, err, Running{})
		e.report(err)
		level := slog.LevelWarn
		if err.Error() == told {
			level = slog.LevelDebug // the same as before: said once is enough
		}
		told = err.Error()
		e.m.log.Log(e.m.ctx, level, e.id.kind+" does not run, it is tried again", "name", e.id.name, "after", wait, "err", err)
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-e.stop:
			timer.Stop()
			return
		}
		wait = min(2*wait, retryMax)
	}
}

func ended(r Running) error {
	var err error
	if r.Err != nil {
		err = r.Err()
	}
	return cmp.Or(err, errors.New("it ended"))
}

// report tells how the first start went; later ones say nothing more.
func (e *entry) report(err error) {
	select {
	case e.first <- err:
	default:
	}
}

// free says that no new work is taken. Only run calls it.
func (e *entry) free() {
	select {
	case <-e.freed:
	default:
		close(e.freed)
	}
}

func (e *entry) set(s State, err error, r Running) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.state, e.err, e.running, e.since = s, err, r, time.Now()
}

func (e *entry) status() Status {
	e.mu.Lock()
	s := Status{Kind: e.spec.Kind, Name: e.spec.Name, State: e.state, Since: e.since}
	if e.err != nil {
		s.Error = e.err.Error()
	}
	info := e.running.Info
	e.mu.Unlock()
	if info != nil {
		s.Info = info()
	}
	return s
}
