//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/serval-net/serval/interop/internal/cluster"
	"github.com/serval-net/serval/interop/scenario"
	"github.com/serval-net/serval/pkg/serval"
)

const (
	processArg = "demo-process"
	service    = "svc:demo"
	// rendezvousPort is where the third host listens.
	rendezvousPort = 7000
)

// report is what a process says, one in JSON per line.
type report struct {
	Ready  bool                       `json:",omitempty"`
	Addrs  []netip.AddrPort           `json:",omitempty"` // with Ready: where the server is
	Event  string                     `json:",omitempty"`
	At     time.Time                  `json:",omitzero"`  // of Event
	Record map[string]scenario.Record `json:",omitempty"` // of what was received, at the end
	Bytes  uint64                     `json:",omitempty"` // with Record
	Error  string                     `json:",omitempty"`
}

// program is one of the processes: a node and its connections.
type program struct {
	spec spec
	node *serval.Node

	mu      sync.Mutex
	out     *json.Encoder
	conns   []*serval.Conn // the client's, in the order of dialling
	records map[string]*receiver
}

// process is the main function of a process. It ends when its input does, or on
// the line "stop", after which it reports what it received.
func process(arg string) error {
	p := &program{out: json.NewEncoder(os.Stdout), records: map[string]*receiver{}}
	if err := json.Unmarshal([]byte(arg), &p.spec); err != nil {
		return err
	}
	if err := p.start(); err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if lines.Text() == "stop" {
			p.stop()
			return nil
		}
		go func(line string) {
			if err := p.obey(line); err != nil {
				p.say(report{Error: fmt.Sprintf("%s: %v", line, err)})
			}
		}(lines.Text())
	}
	return lines.Err()
}

func (p *program) say(r report) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.out.Encode(r)
}

func (p *program) start() error {
	o := p.spec.Options
	config := serval.Config{MaxFlows: o.MaxFlows, Rendezvous: p.spec.Rendezvous}
	var err error
	if config.Identity, err = cluster.Member(); err != nil {
		return err
	}
	if o.Policy != "" {
		if config.Policy, err = serval.ParsePolicy(o.Policy); err != nil {
			return err
		}
	}
	switch p.spec.Role {
	case "client":
		return p.startClient(config)
	case "server":
		return p.startServer(config)
	}
	config.Listen, config.ServeRendezvous = p.spec.Addrs, true
	p.node, err = serval.NewNode(config)
	p.say(report{Ready: err == nil})
	return err
}

// watch reports what happens to a connection.
func (p *program) watch(name string, c *serval.Conn) {
	for e := range c.Events(context.Background()) {
		what := fmt.Sprintf("flow %d %v", e.Flow, e.Kind)
		if e.Kind == serval.ConnOpened || e.Kind == serval.ConnClosed {
			continue
		}
		if e.Interface != "" {
			what += " on " + e.Interface
		}
		if name != "" {
			what = name + ": " + what
		}
		p.say(report{Event: what, At: e.Time})
	}
}

// stop ends the transfers and reports what was received.
func (p *program) stop() {
	r := report{Record: map[string]scenario.Record{}}
	p.mu.Lock()
	for name, rec := range p.records {
		record, bytes, err := rec.finish()
		r.Record[name] = record
		r.Bytes += bytes
		if err != nil {
			r.Error = fmt.Sprintf("%s: %v", name, err)
		}
	}
	p.mu.Unlock()
	p.say(r)
}
