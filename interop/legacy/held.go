//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/serval-net/serval/interop/internal/command"
	"github.com/serval-net/serval/interop/internal/fleet"
	"github.com/serval-net/serval/interop/legacy/catalogue"
	"github.com/serval-net/serval/interop/legacy/stage"
)

// halves are the servalds of a forwarded connection.
type halves struct {
	*site
	forward, serve *fleet.Process
	at             string // where forward listens
}

// newHalves starts an echo server behind both halves, which take so many connections.
func newHalves(ctx context.Context, conns int) (*halves, error) {
	s, err := newSite(ctx, stage.NewCable, echoServer)
	if err != nil {
		return nil, err
	}
	h := &halves{site: s}
	// One client does not get all there is.
	most := fmt.Sprint(2 * conns)
	if h.serve, err = s.offer(ctx, "--max", most); err == nil {
		h.forward, h.at, err = s.StartForward(ctx, "127.0.0.1:0", benchService, "--max", most)
	}
	if err != nil {
		s.Close()
		return nil, err
	}
	return h, nil
}

// resident is how much memory both have together.
func (h *halves) resident() (float64, error) {
	a, err := resident(h.forward)
	if err != nil {
		return 0, err
	}
	b, err := resident(h.serve)
	return a + b, err
}

// descriptors is how many files both have open together.
func (h *halves) descriptors() (int, error) {
	a, err := descriptors(h.forward)
	if err != nil {
		return 0, err
	}
	b, err := descriptors(h.serve)
	return a + b, err
}

// part starts a part of this program on the client's host and waits for what it says
// first.
func (h *halves) part(ctx context.Context, says string, args ...string) (*fleet.Process, error) {
	p, err := h.Client.Start(args[0], self(args...)...)
	if err != nil {
		return nil, err
	}
	if _, err = p.ExpectWithin(ctx, 3*time.Minute, says); err != nil {
		err = fmt.Errorf("%w\n  forward:\n%s\n  serve:\n%s", err, h.forward.Tail(), h.serve.Tail())
	}
	return p, err
}

// held opens many connections at once, and sees what they cost and what is left of
// them.
func (p plan) held(ctx context.Context, _ string) (map[string]float64, error) {
	h, err := newHalves(ctx, p.conns)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	// The first connection pays for what all share.
	if err := h.once(ctx); err != nil {
		return nil, err
	}
	files, err := h.descriptors()
	if err != nil {
		return nil, err
	}
	before, err := h.resident()
	if err != nil {
		return nil, err
	}
	holder, err := h.part(ctx, "^alive", "hold", h.at, fmt.Sprint(p.conns))
	if err != nil {
		return nil, err
	}
	after, err := h.resident()
	if err != nil {
		return nil, err
	}
	holder.Kill()
	left, err := h.left(ctx, files)
	if err != nil {
		return nil, err
	}
	return map[string]float64{
		"proxied-conn-bytes": (after - before) / float64(p.conns),
		"proxied-conns":      float64(p.conns),
		"proxied-conns-left": float64(left),
	}, nil
}

// once makes and ends one connection.
func (h *halves) once(ctx context.Context) error {
	_, err := stage.Run(ctx, h.Client, nil, self("trips", h.at, "10ms")...)
	return err
}

// left waits until both halves have no more files open than there were, and returns
// how many more there are if that does not come.
func (h *halves) left(ctx context.Context, files int) (int, error) {
	for end := time.Now().Add(20 * time.Second); ; {
		n, err := h.descriptors()
		if err != nil || n <= files {
			return 0, err
		}
		if time.Now().After(end) {
			return n - files, nil
		}
		if err := command.Pause(ctx, 100*time.Millisecond); err != nil {
			return 0, err
		}
	}
}

// slowReaders measures what a connection costs whose client asks for more than it
// reads.
func (p plan) slowReaders(ctx context.Context, _ string) (map[string]float64, error) {
	h, err := newHalves(ctx, p.slow)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	if err := h.once(ctx); err != nil {
		return nil, err
	}
	before, err := h.resident()
	if err != nil {
		return nil, err
	}
	if _, err := h.part(ctx, "^slow", "slow", h.at, fmt.Sprint(p.slow)); err != nil {
		return nil, err
	}
	// Buffers fill until they are full.
	most := 0.0
	for range 10 {
		if err := command.Pause(ctx, 500*time.Millisecond); err != nil {
			return nil, err
		}
		now, err := h.resident()
		if err != nil {
			return nil, err
		}
		most = max(most, now)
	}
	return map[string]float64{"slow-reader-bytes": (most - before) / float64(p.slow)}, nil
}

// greedy is how many streams the greedy client has.
const greedy = 64

// besideGreedy measures requests over one connection while another client sends all it
// can over many, through the same servalds.
func (p plan) besideGreedy(ctx context.Context, system string) (map[string]float64, error) {
	h, err := newHalves(ctx, 2*greedy)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	if system == native {
		h.at = h.server
	}
	if _, err := h.part(ctx, "^greedy", "greedy", h.at, fmt.Sprint(greedy)); err != nil {
		return nil, err
	}
	t, err := h.tripsAt(ctx, "", h.at, p.trips)
	if err != nil {
		return nil, err
	}
	return map[string]float64{"beside-greedy-p50-us": t.P50, "beside-greedy-p99-us": t.P99}, nil
}

// programs runs the table of programs.
func (p plan) programs(ctx context.Context, _ string) (map[string]float64, error) {
	all, err := catalogue.Table(ctx, catalogue.All(), catalogue.Options{Watch: p.watch, Say: func(o catalogue.Outcome) {
		fmt.Fprintln(os.Stderr, "  "+o.String())
	}})
	if err != nil {
		return nil, err
	}
	n := catalogue.Count(all)
	return map[string]float64{
		"programs-run": float64(n.Ran), "programs-passed": float64(n.Passed),
		"programs-lasting": float64(n.Cut), "programs-survived": float64(n.Survived),
	}, nil
}
