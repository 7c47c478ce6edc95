//go:build linux

package main

import (
	"context"
	"fmt"
	"os/exec"
	"time"

	_ "embed"

	"github.com/serval-net/serval/interop/lab"
	"github.com/serval-net/serval/interop/scenario"
)

// stage is where the story happens.
type stage interface {
	about() string         // for people
	places() [3]place      // third, server, client
	pace() int64           // of each download, bytes per second; 0 is what the network carries
	capacity() float64     // of all paths together, Mbit/s
	length() time.Duration // of the story
	notes() []string       // what could not be shown
	play(context.Context) (*scenario.Timeline, error)
	enter(*scenario.Timeline, []sample) // adds what the paths carried, if play did not
	close()
}

// place is a host of the stage.
type place struct {
	name             string
	start            func(*exec.Cmd) error
	gossip           string   // where its servald gossips, "" for what it chooses
	seed, rendezvous string   // of the third
	env              []string // for what runs there
}

//go:embed story.txt
var story string

// namespaces is a network of the lab.
type namespaces struct {
	scenario *scenario.Scenario
	net      *lab.Paths
}

func newNamespaces() (stage, error) {
	s, err := scenario.Parse(story)
	if err != nil {
		return nil, err
	}
	net, err := lab.NewPaths(s.Topology)
	if err != nil {
		return nil, err
	}
	return &namespaces{s, net}, nil
}

func (n *namespaces) about() string {
	return "Three hosts in network namespaces. Between client and server are two paths, a and b,\n" +
		"of 50 Mbit/s and 20 ms round trip each; the third host is the seed of the gossip, and a\n" +
		"rendezvous."
}

func (n *namespaces) places() [3]place {
	third := n.net.ThirdAddrs[0]
	seed, meet := fmt.Sprintf("%v:7946", third), fmt.Sprintf("%v:7000", third)
	env := []string{"SERVAL_RENDEZVOUS=" + meet}
	return [3]place{
		{name: "third", start: n.net.Third.Start, gossip: seed, seed: seed, rendezvous: meet},
		{name: "server", start: n.net.Server.Start, env: env},
		{name: "client", start: n.net.Client.Start, env: env},
	}
}

func (n *namespaces) pace() int64                        { return 0 }
func (n *namespaces) capacity() float64                  { return 100 }
func (n *namespaces) length() time.Duration              { return n.scenario.End }
func (n *namespaces) notes() []string                    { return nil }
func (n *namespaces) enter(*scenario.Timeline, []sample) {}
func (n *namespaces) close()                             { n.net.Close() }

func (n *namespaces) play(ctx context.Context) (*scenario.Timeline, error) {
	r := scenario.Runner{Scenario: n.scenario, Net: n.net}
	t, err := r.Run(ctx)
	if err == nil {
		t.Events = merge(t.Events)
	}
	return t, err
}

// merge makes one event of those by which all addresses change at once.
func merge(events []scenario.Mark) (merged []scenario.Mark) {
	for i := 0; i < len(events); i++ {
		n := 1
		for i+n < len(events) && events[i+n].At-events[i].At < 100 {
			n++
		}
		e := events[i]
		if n > 1 {
			e.What = "both ends move at once"
		}
		merged = append(merged, e)
		i += n - 1
	}
	return merged
}
