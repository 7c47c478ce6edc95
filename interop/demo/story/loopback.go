//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/serval-net/serval/interop/internal/command"
	"github.com/serval-net/serval/interop/scenario"
)

// loopback is a stage for those who are not root: every host has two addresses of
// this machine's loopback interface.
type loopback struct {
	cluster *cluster
	why     string
	seed    string
	meet    string
}

// The two addresses of each end.
var (
	clientAddrs = [2]string{"127.0.0.11", "127.0.0.12"}
	serverAddrs = [2]string{"127.0.0.21", "127.0.0.22"}
)

const thirdAddr = "127.0.0.31"

func newLoopback(c *cluster, why string) (stage, error) {
	l := &loopback{cluster: c, why: why}
	for _, to := range []*string{&l.seed, &l.meet} {
		port, err := net.ListenPacket("udp", thirdAddr+":0")
		if err != nil {
			return nil, fmt.Errorf("neither namespaces (%s) nor addresses such as %s can be used: %w", why, thirdAddr, err)
		}
		*to = port.LocalAddr().String()
		defer port.Close()
	}
	return l, nil
}

func (l *loopback) about() string {
	return "Three hosts on loopback addresses, two for each end: " + clientAddrs[0] + " and " + clientAddrs[1] + " for the\n" +
		"client, " + serverAddrs[0] + " and " + serverAddrs[1] + " for the server. There are no namespaces: " + l.why
}

func (l *loopback) notes() []string {
	return []string{
		"Not shown, for it takes root: a cable pulled, packets that vanish on one path only, addresses",
		"that no longer exist, limited rates. Instead addresses were drained, as before maintenance, and",
		"the server's processes stopped (SIGSTOP), which silences both paths. Run it as root, on a Linux",
		"with iptables, to see the rest.",
	}
}

func (l *loopback) places() [3]place {
	start := func(cmd *exec.Cmd) error {
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		return cmd.Start()
	}
	env := func(a [2]string) []string {
		return []string{"SERVAL_LISTEN=" + a[0] + ":0," + a[1] + ":0", "SERVAL_RENDEZVOUS=" + l.meet}
	}
	return [3]place{
		{name: "third", start: start, gossip: l.seed, seed: l.seed, rendezvous: l.meet},
		{name: "server", start: start, gossip: serverAddrs[0] + ":0", env: env(serverAddrs)},
		{name: "client", start: start, gossip: clientAddrs[0] + ":0", env: env(clientAddrs)},
	}
}

// pace is 40 Mbit/s.
func (l *loopback) pace() int64           { return 40e6 / 8 }
func (l *loopback) capacity() float64     { return 100 }
func (l *loopback) length() time.Duration { return 17 * time.Second }
func (l *loopback) close()                {}

// happening is an event.
type happening struct {
	at   time.Duration
	what string
	do   func(context.Context) error
}

func (l *loopback) happenings() []happening {
	c := l.cluster
	drain := func(h *host, args ...string) func(context.Context) error {
		return func(ctx context.Context) error { return l.servald(ctx, h, append([]string{"drain"}, args...)...) }
	}
	ends := func(args ...[]string) func(context.Context) error {
		return func(ctx context.Context) error {
			failed := make(chan error, 2)
			for i, h := range []*host{c.client, c.server} {
				go func() { failed <- drain(h, args[i]...)(ctx) }()
			}
			return errors.Join(<-failed, <-failed)
		}
	}
	return []happening{
		{2 * time.Second, "client drains " + clientAddrs[0], drain(c.client, "--timeout", "5s", clientAddrs[0])},
		{4 * time.Second, clientAddrs[0] + " used again", drain(c.client, "--undo", clientAddrs[0])},
		{6 * time.Second, "server frozen", l.signal(syscall.SIGSTOP)},
		{7500 * time.Millisecond, "server goes on", l.signal(syscall.SIGCONT)},
		{10 * time.Second, "both ends drain an address", ends([]string{"--timeout", "5s", clientAddrs[1]}, []string{"--timeout", "5s", serverAddrs[1]})},
		{13 * time.Second, "both used again", ends([]string{"--undo", clientAddrs[1]}, []string{"--undo", serverAddrs[1]})},
	}
}

func (l *loopback) servald(ctx context.Context, h *host, args ...string) error {
	cmd := exec.CommandContext(ctx, l.cluster.servald(), args...)
	cmd.Env = append(os.Environ(), h.env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("servald %s on the %s: %w: %s", args[0], h.name, err, out)
	}
	return nil
}

// signal reaches all processes of the server.
func (l *loopback) signal(s syscall.Signal) func(context.Context) error {
	return func(context.Context) (err error) {
		for _, p := range l.cluster.all {
			if p.host == l.cluster.server {
				err = errors.Join(err, p.cmd.Process.Signal(s))
			}
		}
		return err
	}
}

func (l *loopback) play(ctx context.Context) (*scenario.Timeline, error) {
	t := &scenario.Timeline{
		Title:    "Two downloads over two pairs of loopback addresses",
		Scenario: "on loopback",
		Start:    time.Now(),
		Length:   float64(l.length() / time.Millisecond),
		Bin:      float64(scenario.Bin / time.Millisecond),
	}
	for _, h := range l.happenings() {
		if err := command.Pause(ctx, time.Until(t.Start.Add(h.at))); err != nil {
			return nil, err
		}
		t.Report(time.Now(), scenario.Lab, h.what)
		if err := h.do(ctx); err != nil {
			return nil, err
		}
	}
	return t, command.Pause(ctx, time.Until(t.Start.Add(l.length())))
}

// enter adds what the flows at each of the client's addresses have received, for
// there are no interfaces to ask.
func (l *loopback) enter(t *scenario.Timeline, samples []sample) {
	type flow struct {
		conn  string
		index uint8
	}
	last := map[flow]uint64{}
	series := map[string]*carried{}
	for _, addr := range clientAddrs {
		series[addr] = &carried{timeline: t, bins: make([]float64, int(t.Length/t.Bin))}
	}
	for i, one := range samples {
		for _, c := range one.conns {
			for _, f := range c.Flows {
				key := flow{c.ID, f.Index}
				if to := series[f.Local.Addr().String()]; to != nil && i > 0 {
					to.add(samples[i-1].at, one.at, f.BytesReceived-last[key])
				}
				last[key] = f.BytesReceived
			}
		}
	}
	for _, addr := range clientAddrs {
		s := scenario.Series{Name: "at " + addr, Kind: scenario.Path}
		for _, n := range series[addr].bins {
			s.Bytes = append(s.Bytes, uint64(n))
		}
		t.Series = append(t.Series, s)
	}
}

// carried is bytes over time.
type carried struct {
	timeline *scenario.Timeline
	bins     []float64
}

// add spreads bytes over the time in which they came.
func (c *carried) add(from, to time.Time, n uint64) {
	bin := func(at time.Time) float64 { return at.Sub(c.timeline.Start).Seconds() * 1000 / c.timeline.Bin }
	first, end := bin(from), bin(to)
	for i := max(int(first), 0); i < len(c.bins) && float64(i) < end; i++ {
		c.bins[i] += float64(n) * max(min(end, float64(i+1))-max(first, float64(i)), 0) / (end - first)
	}
}
