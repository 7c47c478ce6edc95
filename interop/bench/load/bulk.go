package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// bulk reads from Streams connections at once and reports their total rate in
// Mbit/s and Jain's fairness index over them.
func (c client) bulk(ctx context.Context) (Result, error) {
	n := max(c.Streams, 1)
	conns := make([]net.Conn, n)
	for i := range conns {
		conn, err := c.open(ctx, opDown)
		if err != nil {
			return nil, fmt.Errorf("stream %d: %w", i, err)
		}
		defer conn.Close()
		conns[i] = conn
	}
	got := make([]atomic.Int64, n)
	failed := make(chan error, n)
	var wg sync.WaitGroup
	for i, conn := range conns {
		wg.Go(func() {
			buf := make([]byte, 256<<10)
			for {
				k, err := conn.Read(buf)
				got[i].Add(int64(k))
				if err != nil {
					failed <- fmt.Errorf("stream %d: %w", i, err)
					return
				}
			}
		})
	}
	read := func() []int64 {
		at := make([]int64, n)
		for i := range got {
			at[i] = got[i].Load()
		}
		return at
	}
	if err := sleep(c.Warm, failed); err != nil {
		return nil, err
	}
	before, start := read(), time.Now()
	err := sleep(c.For, failed)
	after, elapsed := read(), time.Since(start)
	for _, conn := range conns {
		conn.Close()
	}
	wg.Wait()
	if err != nil {
		return nil, err
	}
	var sum, squares float64
	for i := range after {
		x := float64(after[i] - before[i])
		sum += x
		squares += x * x
	}
	if sum == 0 {
		return nil, errors.New("nothing was received while measuring")
	}
	return Result{
		"Mbit/s": sum * 8 / 1e6 / elapsed.Seconds(),
		"jain":   sum * sum / (float64(n) * squares),
	}, nil
}

// sleep waits for d, or less if something fails.
func sleep(d time.Duration, failed <-chan error) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case err := <-failed:
		return err
	}
}
