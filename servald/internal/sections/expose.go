package sections

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/serval-net/serval/pkg/serval"
	"github.com/serval-net/serval/servald/internal/component"
	"github.com/serval-net/serval/servald/internal/config"
	"github.com/serval-net/serval/servald/internal/expose"
)

// expose puts a server behind a name. It is ready once it is known whether the name
// can be registered; the server need not be well yet.
func (r *Runner) expose(ctx context.Context, section config.Expose) (component.Running, error) {
	ready := make(chan struct{}, 1)
	node := &listening{Node: expose.On(r.env.Node)}
	s := &expose.Server{Node: node, Config: section.Options(0), Log: r.env.Log, Output: r.env.Output, End: ctx,
		Ready: func(net.Addr) { ready <- struct{}{} }}
	c := component.Go(node.close, s.Run)
	if err := settled(c, ready, func() bool { return s.Status().State == expose.Waiting }); err != nil {
		return c, err
	}
	c.Info = func() string {
		st := s.Status()
		text := fmt.Sprintf("%s, %s, %d open of %d", st.To, st.State, st.Connections, st.Total)
		if st.Failed > 0 {
			text += fmt.Sprintf(", %d failed", st.Failed)
		}
		if st.Why != "" {
			text += ": " + st.Why
		}
		return text
	}
	c.Update = func(to any) bool {
		section := to.(config.Expose)
		ctx, cancel := context.WithTimeout(ctx, updateTimeout)
		defer cancel()
		return s.Update(ctx, section.Options(0)) == nil
	}
	return c, nil
}

const (
	updateTimeout = 2 * time.Second
	// settleTimeout is how long a component may take until it says that it is ready;
	// then it is taken to be.
	settleTimeout = 5 * time.Second
)

// settled waits until a component is ready, or waits for something that may take long,
// and returns the error if it fails before.
func settled(c component.Running, ready <-chan struct{}, waits func() bool) error {
	timeout := time.NewTimer(settleTimeout)
	defer timeout.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ready:
			return nil
		case <-c.Done:
			return cmp.Or(c.Err(), errors.New("it ended"))
		case <-timeout.C:
			return nil
		case <-tick.C:
			if waits() {
				return nil
			}
		}
	}
}

// listening is a node that knows its listener, so that the name can be given up at
// once.
type listening struct {
	expose.Node

	mu     sync.Mutex
	ln     expose.Listener
	closed bool
}

// ListenAs implements expose.Node.
func (l *listening) ListenAs(ctx context.Context, lc serval.ListenConfig, name string) (expose.Listener, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, net.ErrClosed
	}
	ln, err := l.Node.ListenAs(ctx, lc, name)
	if err == nil {
		l.ln = ln
	}
	return ln, err
}

func (l *listening) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	if l.ln == nil {
		return nil
	}
	return l.ln.Close()
}
