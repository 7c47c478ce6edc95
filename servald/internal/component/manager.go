package component

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// Manager runs components. Its methods are safe for concurrent use.
type Manager struct {
	log *slog.Logger
	ctx context.Context // done when everything ends at once
	end context.CancelFunc

	applying sync.Mutex // one Apply or Stop at a time; held while components start

	mu      sync.Mutex
	stopped bool
	entries []*entry // that are wanted, in their order
	ending  []*entry // that are not, but have not ended yet
}

// NewManager returns a manager of nothing. End it with Stop.
func NewManager(log *slog.Logger) *Manager {
	m := &Manager{log: log}
	m.ctx, m.end = context.WithCancel(context.Background())
	return m
}

// Changes is how many components an Apply left alone, started, started anew or updated,
// and stopped.
type Changes struct {
	Kept    int `json:"kept"`
	Started int `json:"started"`
	Changed int `json:"changed"`
	Stopped int `json:"stopped"`
}

// Apply brings what runs in line with specs: first what is gone or has changed makes
// room, the last one first, then what is new or has changed starts, in the order of
// specs. It returns when each has started or failed to; the errors are *Error. Those
// that failed are tried again until they run or are gone.
func (m *Manager) Apply(specs []Spec) (done Changes, err error) {
	m.applying.Lock()
	defer m.applying.Unlock()
	m.mu.Lock()
	old, stopped := m.entries, m.stopped
	m.mu.Unlock()
	if stopped {
		return done, errors.New("component: servald is stopping")
	}
	kept := make(map[key]*entry)
	former := make(map[key]bool)
	var gone []*entry
	for _, e := range old {
		i := slices.IndexFunc(specs, func(s Spec) bool { return s.key() == e.id })
		ok, updated := false, false
		if i >= 0 {
			former[e.id] = e.status().State != Failed
			ok, updated = e.take(specs[i])
		} else {
			done.Stopped++
		}
		switch {
		case !ok:
			gone = append(gone, e)
			continue
		case updated:
			done.Changed++
		default:
			done.Kept++
		}
		kept[e.id] = e
	}
	m.retire(slices.DeleteFunc(slices.Clone(old), func(e *entry) bool { return kept[e.id] == nil }), gone)
	var next, fresh []*entry
	seen := make(map[key]bool)
	for _, s := range specs {
		if seen[s.key()] {
			continue
		}
		seen[s.key()] = true
		e := kept[s.key()]
		if e == nil {
			e = newEntry(m, s)
			fresh = append(fresh, e)
		}
		next = append(next, e)
	}
	m.mu.Lock()
	m.entries = next
	m.mu.Unlock()
	var errs []error
	for _, e := range fresh {
		go e.run()
		if err := <-e.first; err != nil {
			errs = append(errs, &Error{e.id.kind, e.id.name, err})
		}
		if former[e.id] {
			done.Changed++
		} else {
			done.Started++
		}
	}
	return done, errors.Join(errs...)
}

// Stop closes all components, waits up to drain until what is open has ended, ends
// the rest, and waits for it. The manager is of no use afterwards.
func (m *Manager) Stop(drain time.Duration) {
	m.applying.Lock()
	defer m.applying.Unlock()
	m.mu.Lock()
	m.stopped = true
	list, all := m.entries, slices.Concat(m.entries, m.ending)
	m.mu.Unlock()
	m.retire(nil, list)
	timer := time.AfterFunc(drain, m.end)
	defer timer.Stop()
	defer m.end()
	for _, e := range all {
		<-e.done
	}
}

// retire leaves only stay of what is wanted and closes the others, the last first.
func (m *Manager) retire(stay, gone []*entry) {
	m.mu.Lock()
	m.entries = stay
	m.ending = append(m.ending, gone...)
	m.mu.Unlock()
	for _, e := range slices.Backward(gone) {
		e.close()
	}
}

// Status returns what there is to know of all components, those that are ending last.
func (m *Manager) Status() []Status {
	m.mu.Lock()
	all := slices.Concat(m.entries, m.ending)
	m.mu.Unlock()
	list := make([]Status, len(all))
	for i, e := range all {
		list[i] = e.status()
	}
	return list
}

// forget removes an entry that has ended.
func (m *Manager) forget(e *entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ending = slices.DeleteFunc(m.ending, func(o *entry) bool { return o == e })
}

type key struct{ kind, name string }

func (s Spec) key() key { return key{s.Kind, s.Name} }
