package load

import (
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// dials opens connections, each used for one byte there and back, from Streams
// goroutines, and reports how many per second.
func (c client) dials(ctx context.Context) (Result, error) {
	if err := c.dialOnce(ctx); err != nil { // sockets, tunnels, caches
		return nil, err
	}
	var count atomic.Int64
	start := time.Now()
	err := parallel(max(c.Streams, 1), func(int) error {
		for time.Since(start) < c.For {
			if err := c.dialOnce(ctx); err != nil {
				return err
			}
			count.Add(1)
		}
		return nil
	})
	return Result{"dials/s": float64(count.Load()) / time.Since(start).Seconds()}, err
}

func (c client) dialOnce(ctx context.Context) error {
	conn, err := c.echo(ctx)
	if err != nil {
		return err
	}
	return conn.Close()
}

// echo opens a connection and sees one byte come back.
func (c client) echo(ctx context.Context) (net.Conn, error) {
	conn, err := c.Dial(ctx, c.Addr)
	if err != nil {
		return nil, err
	}
	if _, err = conn.Write([]byte{opEcho, 1}); err == nil {
		_, err = io.ReadFull(conn, make([]byte, 1))
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// idle opens Conns connections, 16 at a time, keeps them all, and reports what
// one costs each side in memory, and how the rate of the last quarter of the
// dials compares with the first.
func (c client) idle(ctx context.Context) (Result, error) {
	if err := c.dialOnce(ctx); err != nil {
		return nil, err
	}
	meter, err := c.meter(ctx, opMemory)
	if err != nil {
		return nil, err
	}
	defer meter.Close()
	serverBefore, err := meter.read()
	if err != nil {
		return nil, err
	}
	before := memory()

	conns := make([]net.Conn, c.Conns)
	defer func() {
		for _, conn := range conns {
			if conn != nil {
				conn.Close()
			}
		}
	}()
	rate := func(from, to int) (float64, error) {
		start := time.Now()
		var next atomic.Int64
		next.Store(int64(from))
		err := parallel(16, func(int) error {
			for i := next.Add(1) - 1; i < int64(to); i = next.Add(1) - 1 {
				conn, err := c.echo(ctx)
				if err != nil {
					return fmt.Errorf("connection %d of %d: %w", i, c.Conns, err)
				}
				conns[i] = conn
			}
			return nil
		})
		return float64(to-from) / time.Since(start).Seconds(), err
	}
	quarter := c.Conns / 4
	first, err := rate(0, quarter)
	if err != nil {
		return nil, err
	}
	if _, err := rate(quarter, c.Conns-quarter); err != nil {
		return nil, err
	}
	last, err := rate(c.Conns-quarter, c.Conns)
	if err != nil {
		return nil, err
	}
	after := memory()
	serverAfter, err := meter.read()
	if err != nil {
		return nil, err
	}
	each := func(before, after uint64) float64 { return (float64(after) - float64(before)) / float64(c.Conns) }
	client, server := each(before, after), each(serverBefore, serverAfter)
	return Result{
		"client-bytes": client,
		"server-bytes": server,
		"bytes":        max(client, server),
		"rate-kept":    last / first,
	}, nil
}

// parallel runs f in n goroutines and returns the first error.
func parallel(n int, f func(i int) error) error {
	errs := make(chan error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if err := f(i); err != nil {
				errs <- err
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}
