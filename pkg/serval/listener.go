package serval

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/serval-net/serval/internal/flowset"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/servicetable"
)

// Listener accepts connections to a service. It is an instance of the service
// from Listen until Close, but for the times of Suspend and Drain. All methods
// are safe for concurrent use.
type Listener struct {
	node    *Node
	name    sal.Name
	addr    Addr
	backlog int
	network string // of ListenConfig

	enrolment
	loading
	census census

	incoming chan *Conn
	packets  *PacketConn // takes the datagram connections, nil for streams

	once   sync.Once
	closed chan struct{}
}

var _ net.Listener = (*Listener)(nil)

// Listen makes this node an instance of a service, such as "svc:web": it enters
// the name in the service table and registers it with the resolver.
func (n *Node) Listen(name string) (*Listener, error) {
	return n.listen(context.Background(), ListenConfig{}, name, nil)
}

// spare is the room in a backlog for connections that were answered before it
// filled up: their diallers know no better than that they are open.
const spare = 256

func (n *Node) listen(ctx context.Context, lc ListenConfig, service string, packets *PacketConn) (*Listener, error) {
	fail := func(err error) (*Listener, error) {
		return nil, &OpError{Op: "listen", Service: service, Err: err}
	}
	name, err := sal.ParseName(service)
	if err != nil {
		return fail(err)
	}
	if err := lc.check(name); err != nil {
		return fail(err)
	}
	if err := n.mayServe(name); err != nil {
		return fail(err)
	}
	lc.Node = n
	if lc.Backlog == 0 {
		lc.Backlog = n.cfg.Backlog
	}
	l := &Listener{node: n, name: name, backlog: lc.Backlog, network: lc.Network, incoming: make(chan *Conn, lc.Backlog+spare), packets: packets, closed: make(chan struct{})}
	l.cfg = lc
	l.loading.init()
	l.addr = n.localAddr(name.String())
	if err := n.addListener(l); err != nil {
		return fail(err)
	}
	l.sample()
	if err := l.enrol(ctx); err != nil {
		close(l.watched)
		l.Close()
		return fail(err)
	}
	go l.watchLoad()
	return l, nil
}

// mayServe refuses a name that the node's certificate does not cover.
func (n *Node) mayServe(name sal.Name) error {
	if self := n.id.Peer(); !self.MayServe(name) {
		return because(ErrNotAuthorized, "this node's certificate does not allow it to serve %v; join with a token that does", name)
	}
	return nil
}

func (n *Node) addListener(l *Listener) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closing {
		return errNodeClosed
	}
	if n.listeners[l.name] != nil {
		return because(ErrInUse, "this node already listens on %v; close that listener first or use another node", l.name)
	}
	rules := l.makeRules(l.cfg.Keys)
	if err := n.services.Add(rules...); err != nil {
		return err
	}
	l.rules = rules
	n.listeners[l.name] = l
	return nil
}

// makeRules returns rules for the service table that lead here: one for the
// service, or for each part of the key space that the instance owns and for
// dials without a key, which is 0.
func (l *Listener) makeRules(keys []sal.KeyPrefix) (rules []*servicetable.Rule[target]) {
	prefixes := []sal.Prefix{l.name.Prefix()}
	if len(keys) > 0 {
		prefixes[0] = sal.KeyPrefix{Bits: 64}.Of(l.name)
		for _, k := range keys {
			prefixes = append(prefixes, k.Of(l.name))
		}
	}
	for _, p := range prefixes {
		rules = append(rules, &servicetable.Rule[target]{Prefix: p, Action: servicetable.Demux, Priority: 1, Target: target{listener: l}})
	}
	return rules
}

// Listeners returns the node's listeners, in no order, those of its PacketConns
// included.
func (n *Node) Listeners() []*Listener {
	n.mu.Lock()
	defer n.mu.Unlock()
	ls := make([]*Listener, 0, len(n.listeners))
	for _, l := range n.listeners {
		ls = append(ls, l)
	}
	return ls
}

// Accept waits for the next connection.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.AcceptConn()
	if err != nil {
		return nil, err
	}
	return c, nil
}

// AcceptConn is Accept with the concrete type. After Close it returns what had
// come before, and then net.ErrClosed.
func (l *Listener) AcceptConn() (*Conn, error) {
	select {
	case c := <-l.incoming:
		l.queueMoved()
		return c, nil
	case <-l.closed:
	}
	select {
	case c := <-l.incoming:
		return c, nil
	default:
		return nil, &OpError{Op: "accept", Service: l.name.String(), Err: net.ErrClosed}
	}
}

// Close withdraws the instance and refuses further connections; dials that come
// late go elsewhere. Those that were answered already are waited for, which
// takes a round trip and at most a second, and remain to be accepted; a second
// later those that nobody has accepted are reset. Accepted connections live on.
func (l *Listener) Close() error {
	l.once.Do(l.close)
	return nil
}

func (l *Listener) close() {
	ctx, cancel := context.WithTimeout(context.Background(), registerTimeout)
	defer cancel()
	l.withdraw(ctx, closing) // first: nobody should dial what will refuse
	l.census.refuse(true)
	l.census.await(answeredTimeout)
	close(l.closed)
	<-l.watched
	n := l.node
	l.registering.Lock()
	n.services.Remove(l.rules...)
	l.registering.Unlock()
	if len(l.incoming) > 0 {
		n.wg.Go(l.resetLeft)
	}
	n.mu.Lock()
	if n.listeners[l.name] == l {
		delete(n.listeners, l.name)
	}
	n.mu.Unlock()
}

const (
	// answeredTimeout bounds how long Close waits for the rest of handshakes.
	answeredTimeout = time.Second
	// leftTimeout is how long connections may be accepted after Close.
	leftTimeout = time.Second
)

const acceptsNoMore = "the instance accepts no more connections now"

// resetLeft ends the connections that nobody accepts.
func (l *Listener) resetLeft() {
	timer := time.NewTimer(leftTimeout)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.node.quit:
	}
	for {
		select {
		case c := <-l.incoming:
			c.link.abort(flowset.ResetShutdown, acceptsNoMore)
		default:
			return
		}
	}
}

// Addr returns the listener's *Addr.
func (l *Listener) Addr() net.Addr { return &l.addr }

// offer queues an established connection. It reports false when there is no
// room or the listener closed.
func (l *Listener) offer(k *link) bool {
	select {
	case <-l.closed:
		return false
	default:
	}
	if l.packets != nil {
		return l.packets.adopt(k)
	}
	select {
	case l.incoming <- k.conn():
		l.queueMoved()
		return true
	default:
		return false
	}
}

func (l *Listener) full() bool {
	if l.packets != nil {
		return l.packets.full()
	}
	return len(l.incoming) >= l.backlog
}

// inbox is where datagrams for the listener go, nil for streams.
func (l *Listener) inbox() *inbox {
	if l.packets == nil {
		return nil
	}
	return l.packets.inbox
}
