//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/serval-net/serval/interop/internal/command"
	"github.com/serval-net/serval/interop/lab"
	"github.com/serval-net/serval/interop/scenario"
)

const (
	// warm is how long the transfers run before the scenario begins.
	warm = 2 * time.Second
	// patience is how long a process may take to answer.
	patience = 15 * time.Second
)

// play runs a scenario with serval. The timeline is nil if it could not begin.
func play(ctx context.Context, s *scenario.Scenario) (*scenario.Timeline, string, error) {
	o, err := parseOptions(s)
	if err != nil {
		return nil, "", err
	}
	net, err := lab.NewPaths(s.Topology)
	if err != nil {
		return nil, "", err
	}
	defer net.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cast, err := start(ctx, net, o)
	if err != nil {
		return nil, "", err
	}
	defer cast.kill()
	if err := command.Pause(ctx, warm); err != nil {
		return nil, "", err
	}
	r := scenario.Runner{Scenario: s, Net: net, Tell: cast.tell}
	if o.Up && !o.Down {
		r.Watch = scenario.Server
	}
	t, err := r.Run(ctx)
	if err != nil {
		return nil, "", err
	}
	summary, err := cast.collect(t)
	t.Measure()
	if silent := ended(t); err == nil && silent != nil {
		err = silent
		summary = "FAILED: " + err.Error()
	}
	return t, summary, err
}

// ended says which streams received nothing in the end, though the network worked.
func ended(t *scenario.Timeline) (err error) {
	last := map[string]scenario.Effect{}
	for _, e := range t.Effects {
		last[e.Series] = e
	}
	for name, e := range last {
		if e.After == 0 {
			err = errors.Join(err, fmt.Errorf("%s: nothing was received any more at the end", name))
		}
	}
	return err
}

// cast is the processes of a run.
type cast struct {
	client, server, third *child
}

func start(ctx context.Context, net *lab.Paths, o options) (*cast, error) {
	c := &cast{}
	err := c.start(ctx, net, o)
	if err != nil {
		c.kill()
	}
	return c, err
}

func (c *cast) start(ctx context.Context, net *lab.Paths, o options) (err error) {
	var rendezvous []netip.AddrPort
	if net.Third != nil && len(net.ThirdAddrs) > 0 {
		for _, a := range net.ThirdAddrs {
			rendezvous = append(rendezvous, netip.AddrPortFrom(a, rendezvousPort))
		}
		if c.third, _, err = spawn(ctx, net.Third, spec{Role: "rendezvous", Addrs: rendezvous}); err != nil {
			return err
		}
	}
	var ready report
	if c.server, ready, err = spawn(ctx, net.Server, spec{Role: "server", Options: o, Rendezvous: rendezvous}); err != nil {
		return err
	}
	c.client, _, err = spawn(ctx, net.Client, spec{Role: "client", Options: o, Addrs: ready.Addrs, Rendezvous: rendezvous})
	return err
}

func (c *cast) kill() {
	for _, p := range []*child{c.client, c.server, c.third} {
		if p != nil {
			p.kill()
		}
	}
}

func (c *cast) tell(h scenario.Host, text string) error {
	if h == scenario.Server {
		return c.server.tell(text)
	}
	return c.client.tell(text)
}

// collect ends the transfers and enters what the processes report.
func (c *cast) collect(t *scenario.Timeline) (summary string, err error) {
	total := uint64(0)
	for _, p := range []*child{c.client, c.server} {
		all, failed := p.finish()
		if failed != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", p.name, failed))
		}
		for _, r := range all {
			if r.Event != "" && !r.At.Before(t.Start) {
				t.Report(r.At, p.name, r.Event)
			}
			if r.Error != "" {
				err = errors.Join(err, fmt.Errorf("%s: %s", p.name, r.Error))
			}
			var names []string
			for name := range r.Record {
				names = append(names, name)
			}
			slices.Sort(names)
			for _, name := range names {
				t.AddRecord(name, r.Record[name])
			}
			total += r.Bytes
		}
	}
	if err != nil {
		return "FAILED: " + strings.ReplaceAll(err.Error(), "\n", "; "), err
	}
	return fmt.Sprintf("%.0f MB received, every byte in its place, on connections that never closed", float64(total)/1e6), nil
}

// child is a process on a host.
type child struct {
	name    string
	cmd     *exec.Cmd
	in      io.WriteCloser
	stderr  bytes.Buffer
	mu      sync.Mutex
	reports []report
	ended   chan struct{}
}

// spawn starts a process and returns when it is ready.
func spawn(ctx context.Context, h *lab.Host, s spec) (*child, report, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, report{}, err
	}
	p := &child{name: s.Role, cmd: h.Command(ctx, self, processArg, s.String()), ended: make(chan struct{})}
	p.cmd.Stderr = &p.stderr
	out, err := p.cmd.StdoutPipe()
	if err == nil {
		p.in, err = p.cmd.StdinPipe()
	}
	if err == nil {
		err = h.Start(p.cmd)
	}
	if err != nil {
		return nil, report{}, err
	}
	ready := make(chan report, 1)
	go p.listen(out, ready)
	select {
	case r := <-ready:
		return p, r, nil
	case <-p.ended:
		err = errors.New("it ended")
	case <-time.After(patience):
		err = errors.New("it does not get ready")
	}
	p.kill()
	return nil, report{}, fmt.Errorf("%s: %w: %s", p.name, err, strings.TrimSpace(p.stderr.String()))
}

// listen keeps what the process reports.
func (p *child) listen(out io.Reader, ready chan<- report) {
	defer close(p.ended)
	dec := json.NewDecoder(bufio.NewReader(out))
	for {
		var r report
		if dec.Decode(&r) != nil {
			return
		}
		if r.Ready {
			ready <- r
		}
		p.mu.Lock()
		p.reports = append(p.reports, r)
		p.mu.Unlock()
	}
}

func (p *child) tell(text string) error {
	_, err := io.WriteString(p.in, text+"\n")
	return err
}

// finish stops the process and returns all it reported.
func (p *child) finish() ([]report, error) {
	err := p.tell("stop")
	select {
	case <-p.ended:
	case <-time.After(patience):
		err = errors.Join(err, errors.New("it does not end"))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, strings.TrimSpace(p.stderr.String()))
	}
	return p.reports, err
}

func (p *child) kill() {
	p.cmd.Process.Kill()
	<-p.ended
	p.cmd.Wait()
}
