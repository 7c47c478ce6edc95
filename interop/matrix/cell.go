//go:build linux

package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/serval-net/serval/interop/failover/rig"
	"github.com/serval-net/serval/interop/failover/traffic"
	"github.com/serval-net/serval/interop/lab"
)

// cell is one entry of the matrix: who moves, over which addresses, for what
// reason, while the connection carries what.
type cell struct {
	mover  string // client, server or both
	family family
	event  event
	kind   traffic.Kind
}

// family is which addresses the network has.
type family struct {
	name string
	lab.Family
}

// event is what happens to the mover's side of the network.
type event struct {
	name string
	// absurd says for which movers the event makes no sense, and why.
	absurd map[string]string
	// prepare is called before the connection is opened; it may be nil.
	prepare func(side) error
	// do breaks the network. What it returns mends it again; it may be nil.
	do func(*rig.Rig, side) (mend func() error, err error)
}

// side is the access networks of one end, two of them, and its interfaces there.
type side struct {
	ways   []*lab.Way
	ifaces []*lab.Iface
}

var (
	movers   = []string{"client", "server", "both"}
	families = []family{{"v4", lab.IPv4}, {"v6", lab.IPv6}, {"dual", lab.Dual}}
	kinds    = []traffic.Kind{traffic.Up, traffic.Down, traffic.Ask}

	noServerNAT = map[string]string{
		"server": "a server behind a NAT cannot be dialled, so it has no mapping to lose",
		"both":   "the server has no NAT to rebind",
	}

	events = []event{
		{name: "link down", do: func(_ *rig.Rig, s side) (func() error, error) {
			return nil, s.ifaces[0].LinkDown()
		}},
		{name: "blackhole", do: func(_ *rig.Rig, s side) (func() error, error) {
			return nil, s.ways[0].Blackhole(lab.BothWays)
		}},
		{name: "address swap", do: func(_ *rig.Rig, s side) (func() error, error) {
			for _, i := range s.ifaces {
				if err := i.AddrSwap(true); err != nil {
					return nil, err
				}
			}
			return nil, nil
		}},
		{name: "NAT rebind", absurd: noServerNAT,
			prepare: func(s side) error {
				for _, w := range s.ways {
					if err := w.SetNAT(lab.PortKeeping); err != nil {
						return err
					}
				}
				return nil
			},
			do: func(_ *rig.Rig, s side) (func() error, error) {
				for _, w := range s.ways {
					if err := w.Rebind(); err != nil {
						return nil, err
					}
				}
				return nil, nil
			}},
		{name: "flap", do: func(r *rig.Rig, s side) (func() error, error) {
			return r.Net.Flap(s.ifaces[0], 600*time.Millisecond), nil
		}},
	}
)

// cells lists the whole matrix, the absurd ones included.
func cells() []cell {
	var all []cell
	for _, e := range events {
		for _, m := range movers {
			for _, f := range families {
				for _, k := range kinds {
					all = append(all, cell{m, f, e, k})
				}
			}
		}
	}
	return all
}

// String returns the cell's name, such as "client/v4/link-down/up".
func (c cell) String() string {
	return fmt.Sprintf("%s/%s/%s/%s", c.mover, c.family.name, strings.ReplaceAll(c.event.name, " ", "-"), c.kind)
}

// absurd says why the cell makes no sense; empty if it does.
func (c cell) absurd() string { return c.event.absurd[c.mover] }

// topology is the network of every cell: each end has two access networks, and
// the core between them lets all reach all.
func (c cell) topology() lab.Topology {
	access := lab.Path{RTT: 20 * time.Millisecond, Rate: 20e6, Queue: 50 * time.Millisecond}
	return lab.Topology{
		Paths: []lab.Path{access, access, access, access}, Family: c.family.Family,
		Client: []int{0, 1}, Server: []int{2, 3}, Joined: true,
	}
}

// sides returns those that move.
func (c cell) sides(n *lab.Paths) []side {
	client := side{ways: n.Ways[:2], ifaces: []*lab.Iface{n.Ways[0].Client, n.Ways[1].Client}}
	server := side{ways: n.Ways[2:], ifaces: []*lab.Iface{n.Ways[2].Server, n.Ways[3].Server}}
	switch c.mover {
	case "client":
		return []side{client}
	case "server":
		return []side{server}
	}
	return []side{client, server}
}
