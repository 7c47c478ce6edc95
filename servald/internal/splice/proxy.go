package splice

import (
	"context"
	"errors"
	"log/slog"
	"net"
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

	// Log gets a line for each connection that failed; nil is slog.Default().
	Log *slog.Logger

	active, total atomic.Int64
}

// Active returns how many connections are open.
func (p *Proxy) Active() int64 { return p.active.Load() }

// Load returns the share of MaxConns that is open, 1 if there is no room.
func (p *Proxy) Load() float64 { return float64(p.Active()) / float64(p.limit()) }

func (p *Proxy) limit() int {
	if p.MaxConns <= 0 {
		return 4096
	}
	return p.MaxConns
}

// Total returns how many connections were accepted.
func (p *Proxy) Total() int64 { return p.total.Load() }

// Serve accepts from ln until ctx is done, then closes ln, accepts what had come
// before, gives open connections the time of Drain, ends them, and returns nil. It returns the error when ln fails
// for another reason. When it returns, nothing that it started runs any more.
func (p *Proxy) Serve(ctx context.Context, ln net.Listener) error {
	log := p.Log
	if log == nil {
		log = slog.Default()
	}
	slots := make(chan struct{}, p.limit())
	// Connections outlive ctx by the drain time.
	conns, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	defer ln.Close()

	var wg sync.WaitGroup
	err := p.accept(ctx, ln, slots, func(conn net.Conn) {
		p.total.Add(1)
		p.active.Add(1)
		wg.Go(func() {
			defer func() { p.active.Add(-1); <-slots }()
			if err := p.Handle(conns, conn); err != nil && conns.Err() == nil {
				log.Warn("connection failed", "from", conn.RemoteAddr(), "err", err)
			}
		})
	})
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	if p.Drain > 0 {
		timer := time.NewTimer(p.Drain)
		defer timer.Stop()
		select {
		case <-done:
		case <-timer.C:
		}
	}
	end()
	<-done
	return err
}

// accept calls start for each connection, which holds one of the slots. When ctx is
// done it goes on until ln says that there are no more.
func (p *Proxy) accept(ctx context.Context, ln net.Listener, slots chan struct{}, start func(net.Conn)) error {
	delay := time.Duration(0)
	for {
		select {
		case slots <- struct{}{}:
		default:
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return nil
			}
		}
		conn, err := ln.Accept()
		if err == nil {
			delay = 0
			start(conn)
			continue
		}
		<-slots
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

// To returns a handler that joins each connection with one that dial opens.
func To(dial func(ctx context.Context) (net.Conn, error)) func(context.Context, net.Conn) error {
	return func(ctx context.Context, conn net.Conn) error {
		out, err := dial(ctx)
		if err != nil {
			conn.Close()
			return err
		}
		_, _, err = Join(ctx, conn, out)
		return err
	}
}
