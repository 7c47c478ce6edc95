//go:build linux

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/serval-net/serval/interop/bench/load"
	"github.com/serval-net/serval/interop/lab"
)

// sharePath is the bottleneck of the sharing cases.
var sharePath = lab.Path{RTT: 20 * time.Millisecond, Rate: 100e6, Queue: 50 * time.Millisecond}

// shareGroup measures a flow of the system beside one of the rival, on one
// bottleneck: both rates and how long packets wait in the queue.
func shareGroup(rival string, systems []string, times [2]time.Duration) group {
	name := "share-" + strings.TrimPrefix(rival, "tcp-")
	if rival == "serval" {
		systems = []string{"serval"}
	}
	return group{
		rows: []row{
			{name, "Mbit/s", "own"},
			{name + "-other", "Mbit/s", "other"},
			{name + "-queue", "ms", "queue"},
		},
		systems: systems,
		site:    routed(sharePath),
		run: func(ctx context.Context, b *bench, s *site, system string) (load.Result, error) {
			return b.share(ctx, s, system, rival, times)
		},
	}
}

func (b *bench) share(ctx context.Context, s *site, system, rival string, times [2]time.Duration) (load.Result, error) {
	spec := load.Spec{Kind: "bulk", Warm: times[0], For: times[1]}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type outcome struct {
		load.Result
		error
	}
	start := func(system string) <-chan outcome {
		done := make(chan outcome, 1)
		b.port += 10 // pair takes the next; never the other flow's
		port := *b
		go func() {
			r, err := port.pair(ctx, s, system, spec)
			done <- outcome{r, err}
		}()
		return done
	}
	// The rival has the link first, the harder case for the newcomer.
	other := start(rival)
	own := start(system)
	waits, watching := watch(ctx, s.bottleneck, times)
	first, second := <-own, <-other
	cancel()
	<-watching
	if first.error != nil {
		return nil, first.error
	}
	if second.error != nil {
		return nil, fmt.Errorf("beside %s: %w", rival, second.error)
	}
	result := load.Result{"own": first.Result["Mbit/s"], "other": second.Result["Mbit/s"]}
	if len(*waits) > 0 {
		slices.Sort(*waits)
		result["queue"] = float64((*waits)[len(*waits)/2].Microseconds()) / 1000
	}
	return result, nil
}

// watch samples a queue's length in time, while the flows measure. The samples
// may be read when the channel is closed.
func watch(ctx context.Context, queue *lab.Iface, times [2]time.Duration) (*[]time.Duration, <-chan struct{}) {
	waits, done := new([]time.Duration), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		start := time.Now()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			if t := time.Since(start); t < times[0] || t > times[0]+times[1] {
				continue
			}
			if wait, err := queue.Backlog(); err == nil {
				*waits = append(*waits, wait)
			}
		}
	}()
	return waits, done
}
