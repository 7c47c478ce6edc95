package serval

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/serval-net/serval/internal/flow"
	"github.com/serval-net/serval/internal/flowset"
)

// EventKind is what happened to a flow of a connection.
type EventKind uint8

const (
	FlowUp      EventKind = iota + 1 // a flow works for the first time
	FlowJoined                       // a flow was added
	FlowSuspect                      // a flow fell silent; its data moved to others
	FlowDown                         // a flow has been silent for long, or its interface is gone
	FlowResumed                      // a suspect or dead flow works again
	FlowMoved                        // this end moved the flow to another address
	PeerMoved                        // the peer did, or its NAT
	ConnOpened
	ConnClosed
)

var eventNames = [...]string{"", "flow up", "joined", "suspect", "down", "resumed", "migrated", "peer migrated", "opened", "closed"}

// String returns what servald monitor prints, such as "suspect".
func (k EventKind) String() string {
	if int(k) < len(eventNames) {
		return eventNames[k]
	}
	return "event?"
}

// Event is something that happened to a connection.
type Event struct {
	Time          time.Time
	Kind          EventKind
	Conn          string // the connection's ID, see Conn.ID
	Service       string
	Flow          int // index within the connection
	Local, Remote netip.AddrPort
	Interface     string // of Local
	From          string // for moves: the path before, such as "eth0 10.0.0.1:4242 > 10.0.1.1:7001"
	Detail        string // why, where there is something to say
}

// events hands out events to whoever listens. The zero value is ready.
type events struct {
	mu   sync.Mutex
	subs map[chan Event]*link // nil: of all connections
}

// eventBuffer is how many events a slow reader may be behind; it misses what
// does not fit.
const eventBuffer = 256

// subscribe returns a channel of events of a connection, or of all with nil,
// that is closed when ctx or the node ends.
func (e *events) subscribe(ctx context.Context, of *link) <-chan Event {
	c := make(chan Event, eventBuffer)
	e.mu.Lock()
	if e.subs == nil {
		e.subs = make(map[chan Event]*link)
	}
	e.subs[c] = of
	e.mu.Unlock()
	context.AfterFunc(ctx, func() { e.end(c) })
	return c
}

func (e *events) end(c chan Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if _, ok := e.subs[c]; ok {
		delete(e.subs, c)
		close(c)
	}
}

// close ends all subscriptions.
func (e *events) close() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for c := range e.subs {
		delete(e.subs, c)
		close(c)
	}
}

// publish never waits.
func (e *events) publish(l *link, ev Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for c, of := range e.subs {
		if of == nil || of == l {
			select {
			case c <- ev:
			default:
			}
		}
	}
}

// Events returns what happens to the node's connections from now on, until ctx
// or the node ends. A reader who is more than 256 events behind misses some.
func (n *Node) Events(ctx context.Context) <-chan Event { return n.events.subscribe(ctx, nil) }

// Events returns what happens to the connection from now on, until ctx or the
// node ends. A reader who is more than 256 events behind misses some.
func (c *Conn) Events(ctx context.Context) <-chan Event {
	return c.link.node.events.subscribe(ctx, c.link)
}

// event tells the listeners what happened to a flow. The caller holds mu.
func (l *link) event(kind EventKind, i int, detail string) {
	ev := l.newEvent(kind, i)
	ev.Detail = detail
	l.node.events.publish(l, ev)
}

func (l *link) newEvent(kind EventKind, i int) Event {
	ev := Event{Time: time.Now(), Kind: kind, Conn: l.id(), Service: l.service.String(), Flow: i}
	if i < len(l.paths) {
		p := &l.paths[i]
		ev.Local, ev.Remote = p.socket.LocalAddr(), p.remote
		if at := l.node.sockets.at(ev.Local); at != nil {
			ev.Interface = at.iface
		}
	}
	return ev
}

// eventMoved is event for a flow that was on another path.
func (l *link) eventMoved(kind EventKind, i int, from string) {
	ev := l.newEvent(kind, i)
	ev.From = from
	if kind == PeerMoved {
		ev.Detail = "by the peer"
	}
	l.node.events.publish(l, ev)
}

// where names a flow's path for people.
func (l *link) where(i int) string {
	p := &l.paths[i]
	name := ""
	if at := l.node.sockets.at(p.socket.LocalAddr()); at != nil {
		name = at.iface + " "
	}
	return name + p.socket.LocalAddr().String() + " > " + p.remote.String()
}

// onState turns a flow's change of state into an event.
func (l *link) onState(i uint8, from, to flowset.State, _ flow.Time) {
	l.think = l.think || from == flowset.Active
	switch {
	case to == flowset.Suspect:
		l.event(FlowSuspect, int(i), "silent")
		if p := &l.paths[i]; from == flowset.Active {
			l.node.doubt(p.pair(), p.shared, l)
		}
	case to == flowset.Down || to == flowset.Parked && from != flowset.Down:
		l.event(FlowDown, int(i), to.String())
	case to == flowset.Active && from == flowset.Pending:
		l.event(FlowUp, int(i), "")
	case to == flowset.Active:
		l.event(FlowResumed, int(i), "")
	}
}
