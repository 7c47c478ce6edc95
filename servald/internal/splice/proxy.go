package splice

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Proxy accepts connections and hands each to Handle, a bounded number at a time.
type Proxy struct {
	// Handle serves one connection and closes it before it returns; it returns soon
	// after ctx is done. Its error is logged.
	Handle func(ctx context.Context, conn net.Conn) error

	// MaxConns is how many connections are handled at once; when they are, the next
	// is not accepted until one ends. 0 is 4096.
	MaxConns int

	// Drain is how long open connections may go on after Serve was told to stop.
	// 0 is none.
	Drain time.Duration

	// End, if it is not nil, is what ends open connections when it is done, instead of
	// Drain: so a listener can be replaced while its connections go on.
	End context.Context

	// Quiet reports whether nothing came or went on a connection just now. If it is
	// set, connections that are not get another 2 seconds after Drain to become so:
	// they may be in the middle of an answer.
	Quiet func(net.Conn) bool

	// Idle, if it is not 0, ends connections whose Progress, a count of what came and
	// went, stays the same for so long.
	Idle     time.Duration
	Progress func(net.Conn) uint64

	// Log is told of connections that failed, as Failures says; nil is slog.Default().
	Log *slog.Logger

	total    atomic.Int64
	failures Failures

	mu    sync.Mutex
	open  map[*handled]struct{}
	slots *slots // of Serve
}

// handled is a connection and what ends it.
type handled struct {
	net.Conn
	end context.CancelCauseFunc
}

// Active returns how many connections are open.
func (p *Proxy) Active() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.open)
}

// Load returns the share of MaxConns that is open, 1 if there is no room.
func (p *Proxy) Load() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return float64(len(p.open)) / float64(p.limit())
}

func (p *Proxy) limit() int {
	if p.MaxConns <= 0 {
		return 4096
	}
	return p.MaxConns
}

// SetMax changes MaxConns, also while Serve runs. Connections that are open stay.
func (p *Proxy) SetMax(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.MaxConns = n
	if p.slots != nil {
		p.slots.resize(p.limit())
	}
}

// all returns what is open.
func (p *Proxy) all() []*handled {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Keys(p.open))
}

// Total returns how many connections were accepted.
func (p *Proxy) Total() int64 { return p.total.Load() }

// Serve accepts from ln until ctx is done, then closes ln, accepts what had come
// before, gives open connections the time of Drain, ends them, and returns nil. It
// returns the error when ln fails for another reason. When it returns, nothing that
// it started runs any more.
func (p *Proxy) Serve(ctx context.Context, ln net.Listener) error {
	log := p.Log
	if log == nil {
		log = slog.Default()
	}
	p.mu.Lock()
	slots := newSlots(p.limit())
	p.slots = slots
	p.mu.Unlock()
	// Connections outlive ctx by the drain time.
	conns, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(nil)
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	defer ln.Close()

	var idle, wg sync.WaitGroup
	idle.Go(func() { p.endIdle(conns) })
	defer idle.Wait()
	err := p.accept(ctx, ln, slots, func(conn net.Conn) {
		p.total.Add(1)
		its, end := context.WithCancelCause(conns)
		h := &handled{conn, end}
		p.note(h, true)
		wg.Go(func() {
			defer func() { end(nil); p.note(h, false); slots.give() }()
			if err := p.Handle(its, conn); err != nil && its.Err() == nil {
				p.failures.Log(log, conn.RemoteAddr(), err)
			}
		})
	})
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	p.drain(done)
	end(ErrCut)
	<-done
	return err
}

// drain lets open connections go on for as long as they may, or until all are done.
func (p *Proxy) drain(done <-chan struct{}) {
	var over <-chan struct{}
	switch {
	case p.End != nil:
		over = p.End.Done()
	case p.Drain > 0:
		ctx, cancel := context.WithTimeout(context.Background(), p.Drain)
		defer cancel()
		over = ctx.Done()
	default:
		return
	}
	select {
	case <-done:
	case <-over:
		if p.Quiet != nil {
			p.endQuiet(done)
		}
	}
}

func (p *Proxy) note(h *handled, open bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == nil {
		p.open = make(map[*handled]struct{})
	}
	if open {
		p.open[h] = struct{}{}
	} else {
		delete(p.open, h)
	}
}

// endQuiet ends connections when they are quiet, until all are done or it has
// waited long enough.
func (p *Proxy) endQuiet(done <-chan struct{}) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(linger); time.Now().Before(end); {
		for _, h := range p.all() {
			if p.Quiet(h.Conn) {
				h.end(nil)
			}
		}
		select {
		case <-tick.C:
		case <-done:
			return
		}
	}
}

// accept calls start for each connection, which holds one of the slots. When ctx is
// done it goes on until ln says that there are no more.
func (p *Proxy) accept(ctx context.Context, ln net.Listener, slots *slots, start func(net.Conn)) error {
	delay := time.Duration(0)
	for {
		if !slots.take(ctx) {
			return nil
		}
		conn, err := ln.Accept()
		if err == nil {
			delay = 0
			start(conn)
			continue
		}
		slots.give()
		if ctx.Err() != nil {
			return nil
		}
		if !temporary(err) {
			return err
		}
		// Out of descriptors: wait for some connection to end, as net/http does.
		delay = min(max(2*delay, 5*time.Millisecond), time.Second)
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return nil
		}
	}
}

func temporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary()
}

// Connect joins conn with a connection that dial opens. If it cannot, conn is reset.
func Connect(ctx context.Context, conn net.Conn, dial func(context.Context) (net.Conn, error)) error {
	out, err := dial(ctx)
	if err != nil {
		Abort(conn) // an end would look like an empty answer
		return err
	}
	_, _, err = Join(ctx, conn, out)
	return err
}
