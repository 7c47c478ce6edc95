package serval

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/serval-net/serval/internal/flowset"
	"github.com/serval-net/serval/internal/nodectl"
)

// steered lets servald flows, migrate, drain and so on see and steer a node.
type steered struct{ *Node }

// serveControl opens the node's control socket. A process goes on without.
func (n *Node) serveControl() {
	if n.cfg.ControlDir == "" {
		return
	}
	s, err := nodectl.Serve(n.cfg.ControlDir, nodectl.Info{Node: n.ID().String(), Name: n.Identity().Name}, steered{n})
	if err != nil {
		n.log.Info("no control socket", "error", err)
		return
	}
	n.control = s
}

// Conns implements nodectl.Node.
func (n steered) Conns() []nodectl.Conn {
	var out []nodectl.Conn
	for _, l := range n.allLinks() {
		s := l.conn().Stats()
		l.mu.Lock()
		c := nodectl.Conn{ID: l.id(), Service: l.service.String(), Peer: nodectl.Peer{Node: l.peer.Node.String(), Name: l.peer.Name},
			Dialled: l.dialled, Policy: l.effective().String(), Age: nodectl.Duration(s.Age), StreamSent: s.StreamSent,
			StreamReceived: s.StreamReceived, LongestStall: nodectl.Duration(s.LongestStall), Flows: []nodectl.Flow{}}
		l.mu.Unlock()
		for _, f := range s.Flows {
			c.Flows = append(c.Flows, nodectl.Flow{Index: uint8(f.Index), State: f.State, Local: f.Local, Remote: f.Remote, Interface: f.Interface,
				RTT: nodectl.Duration(f.RTT), MinRTT: nodectl.Duration(f.MinRTT), Loss: f.Loss(), Rate: f.Rate, Cwnd: f.Cwnd, InFlight: f.InFlight,
				MTU: f.MTU, Cost: uint8(f.Cost), BytesSent: f.BytesSent, BytesReceived: f.BytesReceived,
				Age: nodectl.Duration(f.Age), Moves: uint64(f.Moves)})
		}
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b nodectl.Conn) int { return -cmp.Compare(a.Age, b.Age) })
	return out
}

// Paths implements nodectl.Node.
func (n steered) Paths() []nodectl.Path {
	order := []string{"active", "pending", "suspect", "down", "parked"}
	type key struct{ local, remote netip.Addr }
	found := map[key]*nodectl.Path{}
	for _, l := range n.allLinks() {
		for _, f := range l.flows() {
			k := key{f.Local.Addr(), f.Remote.Addr()}
			p := found[k]
			if p == nil {
				p = &nodectl.Path{Interface: f.Interface, Local: k.local, Remote: k.remote, RTT: nodectl.Duration(f.MinRTT), State: f.State}
				found[k] = p
			}
			p.Flows++
			p.Rate += f.Rate
			p.Loss = max(p.Loss, f.Loss())
			if f.MinRTT > 0 && (p.RTT == 0 || f.MinRTT < time.Duration(p.RTT)) {
				p.RTT = nodectl.Duration(f.MinRTT)
			}
			if slices.Index(order, f.State) < slices.Index(order, p.State) {
				p.State = f.State
			}
			if at := n.sockets.at(f.Local); at != nil && at.drained {
				p.State = "drained"
			}
		}
	}
	out := make([]nodectl.Path, 0, len(found))
	for _, p := range found {
		out = append(out, *p)
	}
	slices.SortFunc(out, func(a, b nodectl.Path) int {
		return cmp.Or(strings.Compare(a.Interface, b.Interface), a.Local.Compare(b.Local), a.Remote.Compare(b.Remote))
	})
	return out
}

// Migrate implements nodectl.Node.
func (n steered) Migrate(ctx context.Context, s nodectl.Selection, to nodectl.Target) (moved int, err error) {
	for _, l := range n.allLinks() {
		if !s.MatchConn(l.id(), l.service.String()) {
			continue
		}
		for _, f := range l.flows() {
			if !s.MatchFlow(uint8(f.Index), f.Interface) || s.Flow == nil && f.State == flowset.Parked.String() {
				continue
			}
			m, e := l.migrate(ctx, MigrateTo{Flow: f.Index, Interface: to.Interface, Addr: to.Addr})
			moved += m
			err = cmp.Or(err, e)
		}
	}
	return moved, err
}

// SetPolicy implements nodectl.Node.
func (n steered) SetPolicy(s nodectl.Selection, policy string) (changed int, err error) {
	p, err := ParsePolicy(policy)
	if err != nil {
		return 0, err
	}
	for _, l := range n.allLinks() {
		if !s.MatchConn(l.id(), l.service.String()) || !slices.ContainsFunc(l.flows(), func(f Flow) bool { return s.MatchFlow(uint8(f.Index), f.Interface) }) {
			continue
		}
		if e := l.setPolicy(p); e != nil {
			err = cmp.Or(err, e)
			continue
		}
		changed++
	}
	return changed, err
}

// eventKinds maps events to those of nodectl; others are not shown.
var eventKinds = map[EventKind]string{
	FlowUp: nodectl.FlowUp, FlowJoined: nodectl.Joined, FlowSuspect: nodectl.Suspect, FlowDown: nodectl.Down, FlowResumed: nodectl.Resumed,
	FlowMoved: nodectl.Migrated, PeerMoved: nodectl.Migrated, ConnClosed: nodectl.Closed,
}

// Events implements nodectl.Node.
func (n steered) Events(ctx context.Context) <-chan nodectl.Event {
	ctx, cancel := context.WithCancel(ctx)
	in, out := n.Node.Events(ctx), make(chan nodectl.Event, eventBuffer)
	n.wg.Add(1)
	go func() {
		defer n.wg.Done()
		defer cancel()
		defer close(out)
		for {
			select {
			case e, ok := <-in:
				if !ok {
					return
				}
				if kind := eventKinds[e.Kind]; kind != "" {
					select {
					case out <- n.event(e, kind):
					default:
					}
				}
			case <-n.quit:
				return
			}
		}
	}()
	return out
}

func (n steered) event(e Event, kind string) nodectl.Event {
	out := nodectl.Event{Time: e.Time, Node: n.ID().String(), Conn: e.Conn, Service: e.Service, Kind: kind, Detail: e.Detail}
	if e.Kind != ConnClosed {
		i := uint8(e.Flow)
		out.Flow = &i
		out.From, out.To = e.From, e.Interface+" "+e.Local.String()+" > "+e.Remote.String()
	}
	return out
}
