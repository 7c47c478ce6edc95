package component

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// world is what components of a test do, and who has which address.
type world struct {
	mu     sync.Mutex
	log    []string
	taken  map[string]bool
	broken map[string]error
	fails  map[string]chan error // to make one that runs fail
}

func newWorld() *world {
	return &world{taken: make(map[string]bool), broken: make(map[string]error), fails: make(map[string]chan error)}
}

func (w *world) say(format string, args ...any) { w.log = append(w.log, fmt.Sprintf(format, args...)) }

// said returns what has been done since it was asked last.
func (w *world) said() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := strings.Join(w.log, ", ")
	w.log = nil
	return s
}

// spec is a component that takes an address and has work until ctx is done.
func (w *world) spec(name string, config any) Spec {
	return Spec{Kind: "forward", Name: name, Config: config, Start: func(ctx context.Context) (Running, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		if err := w.broken[name]; err != nil {
			return Running{}, err
		}
		if w.taken[name] {
			return Running{}, errors.New("address already in use")
		}
		w.taken[name] = true
		w.say("start %s %v", name, config)
		fail := make(chan error, 1)
		w.fails[name] = fail
		var failure error
		done := make(chan struct{})
		closed := make(chan struct{})
		go func() {
			defer close(done)
			select {
			case failure = <-fail:
			case <-closed:
				<-ctx.Done() // its connections
				w.mu.Lock()
				defer w.mu.Unlock()
				w.say("end %s %v", name, config)
			}
		}()
		return Running{Done: done, Err: func() error { return failure }, Info: func() string { return fmt.Sprint(config) }, Close: func() {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.say("close %s", name)
			w.taken[name] = false
			close(closed)
		}}, nil
	}}
}

func newManager() *Manager { return NewManager(slog.New(slog.DiscardHandler)) }

// What has not changed is not touched, what has is replaced without ending its work.
func TestApply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld(), newManager()
		for _, step := range []struct {
			specs   []Spec
			changes Changes
			want    string
		}{
			{[]Spec{w.spec("a", 1), w.spec("b", 1), w.spec("a", 2)}, Changes{Started: 2}, "start a 1, start b 1"},
			{[]Spec{w.spec("a", 1), w.spec("b", 1)}, Changes{Kept: 2}, ""},
			{[]Spec{w.spec("a", 2), w.spec("b", 1), w.spec("c", 1)}, Changes{Kept: 1, Changed: 1, Started: 1}, "close a, start a 2, start c 1"},
			{[]Spec{w.spec("b", 1)}, Changes{Kept: 1, Stopped: 2}, "close c, close a"},
		} {
			done, err := m.Apply(step.specs)
			if err != nil || done != step.changes {
				t.Errorf("%+v, %v, want %+v", done, err, step.changes)
			}
			if got := w.said(); got != step.want {
				t.Errorf("%q, want %q", got, step.want)
			}
		}
		var states []string
		for _, s := range m.Status() {
			states = append(states, fmt.Sprint(s.Name, s.Info, " ", s.State))
		}
		if want := []string{"b1 ready", "a1 ending", "a2 ending", "c1 ending"}; !slices.Equal(states, want) {
			t.Errorf("%q, want %q", states, want)
		}
		begin := time.Now()
		m.Stop(5 * time.Second)
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("what is open was given %v", took)
		}
		if got := w.said(); !strings.HasPrefix(got, "close b, end ") || strings.Count(got, "end ") != 4 {
			t.Errorf("at the end: %q", got)
		}
		if _, err := m.Apply(nil); err == nil {
			t.Error("a manager that was stopped goes on")
		}
	})
}

// What cannot start is told at once, tried again, and does not keep others from it.
func TestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, m := newWorld(), newManager()
		w.broken["a"] = errors.New("address already in use")
		_, err := m.Apply([]Spec{w.spec("a", 1), w.spec("b", 1)})
		bad := new(Error)
		if !errors.As(err, &bad) || err.Error() != "forward a does not run: address already in use" {
			t.Errorf("got %v", err)
		}
		if s := m.Status(); s[0].State != Failed || s[0].Error != "address already in use" || s[1].State != Ready {
			t.Errorf("status %+v", s)
		}
		// Who applies it again hears of it again.
		if done, err := m.Apply([]Spec{w.spec("a", 1), w.spec("b", 1)}); err == nil || done != (Changes{Kept: 1, Started: 1}) {
			t.Errorf("once more: %+v, %v", done, err)
		}
		time.Sleep(10 * time.Second)
		w.mu.Lock()
		w.broken["a"] = nil
		w.mu.Unlock()
		time.Sleep(retryMax)
		if s := m.Status(); s[0].State != Ready || s[0].Error != "" {
			t.Errorf("after a while: %+v", s)
		}
		w.said()
		w.fails["b"] <- errors.New("the device is gone")
		synctest.Wait()
		if s := m.Status(); s[1].State != Failed || s[1].Error != "the device is gone" {
			t.Errorf("after a failure: %+v", s)
		}
		time.Sleep(retryMax)
		if got := w.said(); got != "close b, start b 1" {
			t.Errorf("after a failure: %q", got)
		}
		// One that is down can be removed, and then is not tried any more.
		w.fails["b"] <- errors.New("gone again")
		synctest.Wait()
		if done, err := m.Apply([]Spec{w.spec("a", 1)}); err != nil || done.Stopped != 1 {
			t.Errorf("%+v, %v", done, err)
		}
		w.said()
		time.Sleep(time.Hour)
		if got := w.said(); got != "" || len(m.Status()) != 1 {
			t.Errorf("what was removed: %q, %+v", got, m.Status())
		}
		m.Stop(0)
	})
}

func TestUpdate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newManager()
		var got []any
		starts := 0
		spec := func(config string) Spec {
			return Spec{Kind: "name", Name: "rules", Config: config, Start: func(ctx context.Context) (Running, error) {
				starts++
				r := Go(nil, func(ctx context.Context) error { <-ctx.Done(); return nil })
				r.Update = func(c any) bool { got = append(got, c); return c != "hard" }
				return r, nil
			}}
		}
		for i, config := range []string{"one", "two", "two", "hard"} {
			want := []Changes{{Started: 1}, {Changed: 1}, {Kept: 1}, {Changed: 1}}[i]
			if done, err := m.Apply([]Spec{spec(config)}); err != nil || done != want {
				t.Errorf("%s: %+v, %v", config, done, err)
			}
		}
		if !slices.Equal(got, []any{"two", "hard"}) || starts != 2 {
			t.Errorf("updated with %v, started %d times", got, starts)
		}
		m.Stop(time.Minute)
	})
}
