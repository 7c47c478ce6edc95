package expose

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serval-net/serval/pkg/serval"
	"github.com/serval-net/serval/servald/internal/check"
	"github.com/serval-net/serval/servald/internal/splice"
)

// Server is one name and what serves it. Its fields must be set before [Server.Run]
// and not change afterwards; its methods may be called at any time.
type Server struct {
	Node   Node
	Config Config

	// Ready, if not nil, is called once, when the name is registered.
	Ready func(addr net.Addr)

	// Note, if not nil, hears what an operator will want to know at once: that the
	// server is waited for, ill, or well again. Otherwise Log does.
	Note func(format string, args ...any)

	// Log gets the rest; nil is slog.Default(). Output gets what commands write to
	// their standard error, and on demand to their standard output; nil drops it.
	Log    *slog.Logger
	Output io.Writer

	// End, if not nil, is what ends open connections when it is done, instead of
	// Config.Drain: so another Server can take the name over while they go on.
	End context.Context

	current atomic.Pointer[plan]
	proxy   splice.Proxy
	gauge   check.Gauge
	failed  atomic.Int64 // connections
	clients perClient
	demand  demand
	starved atomic.Pointer[time.Time] // when this process had no descriptors left

	mu     sync.Mutex
	ln     Listener
	lasts  context.Context // done when current is another
	change context.CancelFunc
	state  State
	why    string
}

// State is what a Server does.
type State string

const (
	Starting State = "starting"
	Waiting  State = "waiting" // for the first good check
	Serving  State = "serving"
	Ill      State = "ill"    // withdrawn, until its server is well again
	Ending   State = "ending" // withdrawn, and what is open goes on
)

// Status is what there is to know of a Server.
type Status struct {
	Name        string `json:"name"`
	To          string `json:"to"`
	State       State  `json:"state"`
	Why         string `json:"why,omitempty"` // it waits or is ill
	Connections int    `json:"connections"`   // open
	Total       int64  `json:"total"`         // accepted
	Failed      int64  `json:"failed"`        // the server could not be reached, or a limit was
}

// Run registers the name when the server is well, and serves until ctx is done; then
// it withdraws the name at once, lets open connections go on for the time of Drain,
// and returns nil when nothing that it started runs any more. Otherwise it returns
// what is wrong with the configuration, or why the name cannot be served.
func (s *Server) Run(ctx context.Context) error {
	p, err := s.Config.parse()
	if err != nil {
		return err
	}
	s.start(p)
	if p.target.AnyPort() && len(p.ports) == 0 {
		s.Log.Warn("whoever may dial the service reaches every port of the host; say which they may", "host", p.target.Host)
	}
	defer s.demand.close()
	var wg sync.WaitGroup
	defer wg.Wait()
	background, stop := context.WithCancel(ctx)
	defer stop()
	if !s.await(background) {
		return nil // it was told to stop
	}
	wg.Go(func() { s.follow(background) })
	p = s.current.Load()
	lc := p.listen
	lc.Load, lc.Network = s.load, p.network()
	ln, err := s.Node.ListenAs(ctx, lc, p.Name)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.ln = ln
	late := s.current.Load()
	s.mu.Unlock()
	if late != p { // there was an update meanwhile
		if err := ln.Update(ctx, late.apply); err != nil {
			s.Log.Warn("the registrar does not know yet", "err", err)
		}
	}
	s.set(Serving, nil)
	if s.Ready != nil {
		s.Ready(ln.Addr())
	}
	wg.Go(func() { s.watch(background) })
	over, end := context.WithCancel(context.Background())
	defer end()
	s.proxy.End = over
	ending := context.AfterFunc(ctx, func() {
		s.set(Ending, nil)
		s.ending(over, end)
	})
	defer ending()
	return s.proxy.Serve(ctx, ln)
}

// ending calls end when open connections have had their time, or over is done.
func (s *Server) ending(over context.Context, end context.CancelFunc) {
	defer end()
	if s.End != nil {
		select {
		case <-s.End.Done():
		case <-over.Done():
		}
		return
	}
	timer := time.NewTimer(s.current.Load().Drain)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-over.Done():
	}
}

func (s *Server) start(p *plan) {
	if s.Log == nil {
		s.Log = slog.Default()
	}
	s.Log = s.Log.With("service", p.Name)
	if s.Output == nil {
		s.Output = io.Discard
	}
	s.proxy.Handle, s.proxy.Quiet = s.handle, isQuiet
	s.proxy.MaxConns, s.proxy.Log = p.Max, s.Log
	s.proxy.Idle, s.proxy.Progress = p.Idle, progress
	s.demand.log, s.demand.output = s.Log, s.Output
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lasts, s.change = context.WithCancel(context.Background())
	s.state = Starting
	s.current.Store(p)
}

// ErrRestart means that a configuration cannot be taken by a Server that runs: end it
// and start another.
var ErrRestart = errors.New("this changes what is registered, so that the name must be served anew")

// Update takes another configuration while Run goes on: for connections to come, for
// the checks and for what others know of the instance. Open connections stay as they
// are. An invalid one is an error and changes nothing; [ErrRestart] says that the name,
// the kind of service, Idle or Backlog is another.
func (s *Server) Update(ctx context.Context, c Config) error {
	p, err := c.parse()
	if err != nil {
		return err
	}
	s.mu.Lock()
	old, ln := s.current.Load(), s.ln
	if old == nil || old.Name != p.Name || old.network() != p.network() || old.Idle != p.Idle || old.Backlog != p.Backlog {
		s.mu.Unlock()
		return ErrRestart
	}
	s.current.Store(p)
	s.change()
	s.lasts, s.change = context.WithCancel(context.Background())
	s.mu.Unlock()
	s.proxy.SetMax(p.Max)
	s.demand.replace(p)
	if ln == nil {
		return nil
	}
	return ln.Update(ctx, p.apply)
}

// apply changes what is registered to what p says.
func (p *plan) apply(lc *serval.ListenConfig) {
	lc.Weight, lc.Priority, lc.Balance, lc.Keys = p.listen.Weight, p.listen.Priority, p.listen.Balance, p.listen.Keys
}

// network is what is registered, as serval.ListenConfig has it.
func (p *plan) network() string {
	switch {
	case p.target.Stream && p.target.Datagram:
		return "tcp+udp"
	case p.target.Datagram:
		return "udp"
	}
	return "tcp"
}

// Status returns a snapshot.
func (s *Server) Status() Status {
	p := s.current.Load()
	if p == nil {
		return Status{Name: s.Config.Name, To: s.Config.To, State: Starting}
	}
	s.mu.Lock()
	state, why := s.state, s.why
	s.mu.Unlock()
	return Status{Name: p.Name, To: p.what(), State: state, Why: why,
		Connections: s.proxy.Active(), Total: s.proxy.Total(), Failed: s.failed.Load()}
}

// set notes a state; Ending is the last.
func (s *Server) set(to State, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == Ending {
		return
	}
	s.state, s.why = to, ""
	if why != nil {
		s.why = why.Error()
	}
}

func (s *Server) note(format string, args ...any) {
	if s.Note != nil {
		s.Note(format, args...)
		return
	}
	s.Log.Info(fmt.Sprintf(format, args...))
}
