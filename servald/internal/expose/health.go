package expose

import (
	"context"
	"errors"
	"syscall"
	"time"

	"github.com/serval-net/serval/servald/internal/check"
)

// plan returns the configuration that counts now, and a context that ends with ctx
// or when another one counts.
func (s *Server) plan(ctx context.Context) (*plan, context.Context, context.CancelFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	its, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(s.lasts, cancel)
	return s.current.Load(), its, func() { stop(); cancel() }
}

func (p *plan) checks() check.Config { return check.Config{Every: p.CheckEvery} }

// await waits for the first good check, and reports whether there was one before ctx
// ended.
func (s *Server) await(ctx context.Context) bool {
	for {
		p, its, cancel := s.plan(ctx)
		if p.check == nil {
			cancel()
			return ctx.Err() == nil
		}
		err := check.Await(its, p.checks(), p.check.Check, func(err error) {
			s.set(Waiting, err)
			s.note("%s waits for its server: %v", p.Name, err)
		})
		cancel()
		if err == nil || ctx.Err() != nil {
			return err == nil
		}
	}
}

// watch makes the instance be found or not, as its server is well or ill.
func (s *Server) watch(ctx context.Context) {
	ill := false
	set := func(p *plan, why error) {
		ill = why != nil
		change := s.ln.Resume
		if ill {
			s.set(Ill, why)
			s.note("%s is withdrawn, its server is ill: %v", p.Name, why)
			change = s.ln.Suspend
		} else {
			s.set(Serving, nil)
			s.note("%s is back, its server is well", p.Name)
		}
		if err := change(ctx); err != nil && ctx.Err() == nil {
			s.Log.Warn("the registrar does not know yet", "err", err)
		}
	}
	for ctx.Err() == nil {
		p, its, cancel := s.plan(ctx)
		switch {
		case ill && (p.check == nil || check.Await(its, p.checks(), p.check.Check, nil) == nil):
			set(p, nil)
		case p.check == nil:
			<-its.Done()
		case !ill:
			check.Watch(its, p.checks(), p.check.Check, func(why error) { set(p, why) })
		}
		cancel()
	}
}

// follow keeps up with how busy the server says it is.
func (s *Server) follow(ctx context.Context) {
	for ctx.Err() == nil {
		p, its, cancel := s.plan(ctx)
		if p.load != nil {
			s.gauge.Follow(its, p.CheckEvery, *p.load, s.Log)
		}
		<-its.Done()
		cancel()
	}
}

// load is how busy the instance is: what its server says, or its share of what may be
// open. Where there is no room it is at least 1, so that diallers go elsewhere.
func (s *Server) load() float64 {
	full := s.proxy.Load()
	if at := s.starved.Load(); at != nil && time.Since(*at) < starvation {
		full = max(full, 1)
	}
	if s.current.Load().load == nil || full >= 1 {
		return max(full, 0)
	}
	return s.gauge.Value()
}

// starvation is how long an instance counts as full after it ran out of descriptors.
const starvation = time.Second

// noteFailure looks whether an error is one that others need not run into: while there
// are no descriptors, they shall go to other instances.
func (s *Server) noteFailure(err error) {
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		now := time.Now()
		s.starved.Store(&now)
	}
}
