package serval

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/servicetable"
)

// Listener accepts connections to a service. It is an instance of the service
// from Listen until Close.
type Listener struct {
	node *Node
	name sal.Name
	addr Addr
	rule *servicetable.Rule[target]

	registering sync.Mutex // guards lease
	lease       resolver.Lease

	incoming chan *Conn
	packets  *PacketConn // takes the datagram connections, nil for streams

	once   sync.Once
	closed chan struct{}
}

var _ net.Listener = (*Listener)(nil)

// Listen makes this node an instance of a service, such as "svc:web": it enters
// the name in the service table and registers it with the resolver.
func (n *Node) Listen(name string) (*Listener, error) {
	return n.listen(name, nil)
}

func (n *Node) listen(service string, packets *PacketConn) (*Listener, error) {
	fail := func(err error) (*Listener, error) {
		return nil, &OpError{Op: "listen", Service: service, Err: err}
	}
	name, err := sal.ParseName(service)
	if err != nil {
		return fail(err)
	}
	if self := n.id.Peer(); !self.MayServe(name) {
		return fail(because(ErrNotAuthorized, "this node's certificate does not allow it to serve %v; join with a token that does", name))
	}
	l := &Listener{node: n, name: name, incoming: make(chan *Conn, n.cfg.Backlog), packets: packets, closed: make(chan struct{})}
	l.addr = Addr{Service: name.String(), Instance: n.ID()}
	if addrs := n.sockets.addrs(); len(addrs) > 0 {
		l.addr.Underlay = addrs[0]
	}
	if err := n.addListener(l); err != nil {
		return fail(err)
	}
	if err := l.register(); err != nil {
		l.Close()
		return fail(err)
	}
	return l, nil
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
	l.rule = &servicetable.Rule[target]{Prefix: l.name.Prefix(), Action: servicetable.Demux, Priority: 1, Target: target{listener: l}}
	if err := n.services.Add(l.rule); err != nil {
		return err
	}
	n.listeners[l.name] = l
	return nil
}

// registerTimeout bounds how long Listen waits for the registrar, and Close for
// the withdrawal.
const registerTimeout = 5 * time.Second

func (l *Listener) register() error {
	r := l.node.cfg.Registrar
	if r == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), registerTimeout)
	defer cancel()
	l.registering.Lock() // an update waits: it may know better
	defer l.registering.Unlock()
	lease, err := r.Register(ctx, resolver.Registration{Service: l.name, Identity: l.node.id, Addrs: l.node.registered()})
	if err != nil {
		return err
	}
	l.lease = lease
	return nil
}

// update registers the instance at the node's present addresses.
func (l *Listener) update(ctx context.Context) {
	l.registering.Lock()
	defer l.registering.Unlock()
	u, ok := l.lease.(resolver.Updater)
	addrs := l.node.registered()
	if !ok || len(addrs) == 0 {
		return
	}
	if err := u.Update(ctx, resolver.At(addrs...)); err != nil {
		l.node.log.Info("the new addresses could not be registered", "service", l.name, "error", err)
	}
}

// Accept waits for the next connection.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.AcceptConn()
	if err != nil {
		return nil, err
	}
	return c, nil
}

// AcceptConn is Accept with the concrete type.
func (l *Listener) AcceptConn() (*Conn, error) {
	select {
	case c := <-l.incoming:
		return c, nil
	case <-l.closed:
		return nil, &OpError{Op: "accept", Service: l.name.String(), Err: net.ErrClosed}
	}
}

// Close withdraws the instance and refuses further connections. Accepted
// connections live on; those nobody accepted are reset.
func (l *Listener) Close() error {
	l.once.Do(func() {
		close(l.closed)
		n := l.node
		n.mu.Lock()
		delete(n.listeners, l.name)
		n.mu.Unlock()
		l.registering.Lock()
		defer l.registering.Unlock()
		if l.lease != nil { // first: nobody should dial what will refuse
			ctx, cancel := context.WithTimeout(context.Background(), registerTimeout)
			defer cancel()
			l.lease.Close(ctx)
		}
		if l.rule != nil {
			n.services.Remove(l.rule)
		}
		for {
			select {
			case c := <-l.incoming:
				c.Close()
			default:
				return
			}
		}
	})
	return nil
}

// Addr returns the listener's *Addr.
func (l *Listener) Addr() net.Addr { return &l.addr }

// offer queues an established connection. It reports false when the backlog is
// full or the listener closed.
func (l *Listener) offer(k *link) bool {
	select {
	case <-l.closed:
		return false
	default:
	}
	if l.packets != nil {
		l.packets.adopt(k)
		return true
	}
	select {
	case l.incoming <- k.conn():
		return true
	default:
		return false
	}
}

func (l *Listener) full() bool { return len(l.incoming) == cap(l.incoming) }

// inbox is where datagrams for the listener go, nil for streams.
func (l *Listener) inbox() *inbox {
	if l.packets == nil {
		return nil
	}
	return l.packets.inbox
}
