//go:build linux

package main

import (
	"context"
	"sync"
	"time"

	"github.com/serval-net/serval/internal/nodectl"
)

// sample is what the client's processes said of their connections at a time.
type sample struct {
	at    time.Time
	conns []nodectl.Conn
}

// watcher takes samples.
type watcher struct {
	cluster *cluster
	cancel  context.CancelFunc
	work    sync.WaitGroup

	mu      sync.Mutex
	samples []sample
}

// sampleEvery is what loopback's plot shows; it costs each process little.
const sampleEvery = 50 * time.Millisecond

func watch(ctx context.Context, c *cluster) *watcher {
	ctx, cancel := context.WithCancel(ctx)
	w := &watcher{cluster: c, cancel: cancel}
	w.work.Go(func() {
		tick := time.NewTicker(sampleEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				w.sample(ctx)
			case <-ctx.Done():
				return
			}
		}
	})
	return w
}

func (w *watcher) sample(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	var s sample
	for _, n := range w.cluster.nodes(ctx) {
		conns, err := n.Conns(ctx)
		if err != nil {
			continue
		}
		for _, c := range conns {
			if c.Dialled && (c.Service == plainService || c.Service == appService) {
				s.conns = append(s.conns, c)
			}
		}
	}
	s.at = time.Now() // so that nothing in it is of later
	w.mu.Lock()
	defer w.mu.Unlock()
	w.samples = append(w.samples, s)
}

// stop ends the watching and returns all samples.
func (w *watcher) stop() []sample {
	w.cancel()
	w.work.Wait()
	return w.samples
}
