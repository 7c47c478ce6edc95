//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/serval-net/serval/interop/internal/command"
	"github.com/serval-net/serval/interop/internal/fleet"
	"github.com/serval-net/serval/interop/plot"
)

const (
	webLength = 60 * time.Second
	joinAt    = 20 * time.Second
	leaveAt   = 40 * time.Second
	atFirst   = 2 // replicas, as many join, and as many leave
	inAll     = 4
	abs       = 4  // clients
	abConns   = 10 // connections of each at a time
	step      = 250 * time.Millisecond

	mayLag    = 2 * time.Second // until the rate follows the replicas
	mayDiffer = 0.10            // shares of replicas of one weight
)

// web shows that the total rate of a service follows its replicas.
func web(ctx context.Context) (*outcome, error) {
	ab, err := installed("ab")
	if err != nil {
		return nil, err
	}
	st, err := newStage(ctx, inAll, func(st *stage, r *replica) error { return r.limited(ctx, st.self) })
	if err != nil {
		return nil, err
	}
	defer st.Close()
	if err := joinAll(ctx, "svc:web", st.replicas[:atFirst]); err != nil {
		return nil, err
	}
	local, err := fleet.FreePort("127.0.0.1")
	if err != nil {
		return nil, err
	}
	forward, err := st.client.Start("forward", st.Servald, "forward", local, "svc:web")
	if err != nil {
		return nil, err
	}
	if _, err := forward.Expect(ctx, "forwarding"); err != nil {
		return nil, err
	}
	if err := command.Pause(ctx, time.Second); err != nil {
		return nil, err
	}

	var clients []*fleet.Process
	for i := range abs {
		p, err := st.client.Start(fmt.Sprint("ab ", i), ab, "-q", "-t", fmt.Sprint(int(webLength.Seconds())), "-n", "10000000",
			"-c", fmt.Sprint(abConns), "-s", "10", "http://"+local+"/")
		if err != nil {
			return nil, err
		}
		clients = append(clients, p)
	}
	s := sample(ctx, st.replicas, webLength)
	st.play()
	guests := st.replicas[atFirst:]
	if err := st.at(ctx, joinAt, "two replicas join", func() error { return joinAll(ctx, "svc:web", guests) }); err != nil {
		return nil, err
	}
	if err := st.at(ctx, leaveAt, "they leave", func() error {
		for _, r := range guests {
			if err := r.leave(); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		return nil, err
	}
	rates, err := s.wait()
	if err != nil {
		return nil, err
	}
	o := &outcome{figure: &plot.Figure{
		Title:    "Replicated web service",
		Subtitle: fmt.Sprintf("%d x ab through servald forward; each replica answers at most %.0f requests a second", abs, capacity),
		Length:   webLength.Seconds(), Marks: st.marks,
		Panels: []plot.Panel{{Title: "Requests answered", Unit: "1/s", Stacked: true, Lines: rates}},
	}}
	failed, asked, err := abFailures(clients)
	if err != nil {
		return nil, err
	}
	o.report(failed == 0, "%d of %d requests failed", failed, asked)
	o.follows(rates, st.marks[0].At, "join", func(total float64) bool { return total >= 0.9*inAll*capacity })
	o.follows(rates, st.marks[1].At, "leave", func(total float64) bool { return total >= 0.9*atFirst*capacity && total <= 1.1*atFirst*capacity })
	o.spread(rates[:atFirst], joinAt-8*time.Second, joinAt)
	o.spread(rates, leaveAt-8*time.Second, leaveAt)
	return o, nil
}

// report notes a result, and that it was not reached.
func (o *outcome) report(ok bool, format string, args ...any) {
	verdict := "ok"
	if !ok {
		verdict = "MISSED"
		o.err = errors.Join(o.err, fmt.Errorf("missed: "+format, args...))
	}
	o.lines = append(o.lines, fmt.Sprintf(format, args...)+": "+verdict)
}

// follows finds how long after an event the total rate is what it should be.
func (o *outcome) follows(rates []plot.Line, event float64, what string, there func(total float64) bool) {
	for i := int(event / step.Seconds()); i+1 < len(rates[0].Values); i++ {
		if there((total(rates, i) + total(rates, i+1)) / 2) {
			lag := max(float64(i)*step.Seconds()-event, 0)
			o.report(lag <= mayLag.Seconds(), "after the %s the rate follows within %.2f s, at most %v", what, lag+step.Seconds(), mayLag)
			return
		}
	}
	o.report(false, "after the %s the rate does not follow", what)
}

func total(rates []plot.Line, i int) (sum float64) {
	for _, l := range rates {
		if i < len(l.Values) && !math.IsNaN(l.Values[i]) {
			sum += l.Values[i]
		}
	}
	return sum
}

// spread compares the shares of replicas of one weight.
func (o *outcome) spread(rates []plot.Line, from, to time.Duration) {
	sums, mean := make([]float64, len(rates)), 0.0
	for i, l := range rates {
		for _, v := range l.Values[from/step : to/step] {
			sums[i] += v
		}
		mean += sums[i] / float64(len(rates))
	}
	worst := 0.0
	for _, s := range sums {
		worst = max(worst, math.Abs(s/mean-1))
	}
	o.report(worst <= mayDiffer, "of %d replicas none is more than %.1f %% from an equal share, at most %.0f %%", len(rates), 100*worst, 100*mayDiffer)
}

// sampling counts what replicas answer.
type sampling struct {
	rates []plot.Line
	err   error
	done  chan struct{}
}

func (s *sampling) wait() ([]plot.Line, error) {
	<-s.done
	return s.rates, s.err
}

// sample asks all replicas every step how much they have answered.
func sample(ctx context.Context, replicas []*replica, length time.Duration) *sampling {
	s := &sampling{done: make(chan struct{})}
	for i := range replicas {
		s.rates = append(s.rates, plot.Line{Name: fmt.Sprint("replica ", i+1), Color: i, Step: step.Seconds()})
	}
	go func() {
		defer close(s.done)
		before, last := make([]int, len(replicas)), time.Now()
		tick := time.NewTicker(step)
		defer tick.Stop()
		for end := last.Add(length); last.Before(end); {
			select {
			case <-tick.C:
			case <-ctx.Done():
				s.err = ctx.Err()
				return
			}
			now := time.Now()
			for i, r := range replicas {
				n, err := count(ctx, r.addr)
				if err != nil {
					s.err = err
					return
				}
				s.rates[i].Values = append(s.rates[i].Values, float64(n-before[i])/now.Sub(last).Seconds())
				before[i] = n
			}
			last = now
		}
	}()
	return s
}

var (
	abComplete = regexp.MustCompile(`Complete requests:\s+(\d+)`)
	abFailed   = regexp.MustCompile(`Failed requests:\s+(\d+)`)
)

// abFailures adds up what the clients say at their end.
func abFailures(clients []*fleet.Process) (failed, asked int, err error) {
	for _, p := range clients {
		out, err := p.Output()
		if err != nil {
			return 0, 0, err
		}
		c, f := abComplete.FindStringSubmatch(out), abFailed.FindStringSubmatch(out)
		if c == nil || f == nil {
			return 0, 0, fmt.Errorf("%s says no result:\n%s", p.Name, strings.TrimSpace(out))
		}
		n, _ := strconv.Atoi(c[1])
		bad, _ := strconv.Atoi(f[1])
		asked, failed = asked+n, failed+bad
	}
	return failed, asked, nil
}
