//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/serval-net/serval/interop/internal/command"
	"github.com/serval-net/serval/interop/services/traffic"
)

const (
	fleetSize = 5
	dialRate  = 200 // per second
	keepers   = 20  // clients that keep their connections
	askEvery  = 50 * time.Millisecond
)

// underLoad runs f while clients ask for so long.
func underLoad(ctx context.Context, during time.Duration, f func(s *site) error) (*traffic.Result, error) {
	s, err := newSite(ctx, fleetSize)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	a, err := s.ask(ctx, traffic.Load{Where: service, For: during, Dials: dialRate, Keep: keepers, Pause: askEvery})
	if err != nil {
		return nil, err
	}
	if err := f(s); err != nil {
		return nil, err
	}
	return a.result()
}

// rollingRestart replaces all replicas, one after the other.
func (b plan) rollingRestart(ctx context.Context, _ string) (map[string]float64, error) {
	r, err := underLoad(ctx, b.restart, func(s *site) error {
		pause := b.restart / (fleetSize + 1)
		for i := range s.replicas {
			if err := command.Pause(ctx, pause); err != nil {
				return err
			}
			if err := s.replicas[i].Stop(); err != nil {
				return err
			}
			var err error
			if s.replicas[i], err = s.replica(ctx, i); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	explain(r.Failures)
	late, err := quantile(append(r.Dialled.Micros, r.Kept.Micros...), 0.999)
	if err != nil {
		return nil, err
	}
	return map[string]float64{
		"rolling-restart-failed":  float64(r.Dialled.Failed + r.Kept.Failed),
		"rolling-restart-asked":   float64(r.Dialled.Asked + r.Kept.Asked),
		"rolling-restart-p999-ms": late / 1000,
	}, nil
}

// crash kills one replica with SIGKILL in the middle.
func (b plan) crash(ctx context.Context, _ string) (map[string]float64, error) {
	var killed string
	var at time.Duration
	r, err := underLoad(ctx, b.kill, func(s *site) error {
		begin := time.Now()
		if err := command.Pause(ctx, b.kill/3); err != nil {
			return err
		}
		killed, at = s.replicas[0].name, time.Since(begin)
		s.replicas[0].Kill()
		return nil
	})
	if err != nil {
		return nil, err
	}
	elsewhere := 0
	var why []traffic.Failure
	for _, f := range r.Failures {
		if f.Instance != killed {
			elsewhere++
			why = append(why, f)
		}
	}
	explain(why)
	// Dials leave at a steady rate, so their order tells which came after.
	after := r.Dialled.Micros[min(int(at.Seconds()*dialRate), len(r.Dialled.Micros)):]
	p50, err := quantile(after, 0.5)
	if err != nil {
		return nil, err
	}
	p999, err := quantile(after, 0.999)
	return map[string]float64{
		"kill-failed-elsewhere":   float64(elsewhere),
		"kill-failed":             float64(r.Dialled.Failed + r.Kept.Failed),
		"dial-after-kill-p50-ms":  p50 / 1000,
		"dial-after-kill-p999-ms": p999 / 1000,
	}, err
}

// explain prints why requests failed that should not have.
func explain(failures []traffic.Failure) {
	for i, f := range failures {
		if i == 10 {
			fmt.Fprintf(os.Stderr, "  and %d more\n", len(failures)-i)
			return
		}
		fmt.Fprintf(os.Stderr, "  failed after %v at %s (reused: %v): %s\n", f.At.Round(time.Millisecond), f.Instance, f.Reused, strings.TrimSpace(f.Why))
	}
}
