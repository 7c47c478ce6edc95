package serval

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/serval-net/serval/internal/handshake"
	"github.com/serval-net/serval/internal/underlay"
	"github.com/serval-net/serval/pkg/sal"
)

// Dial opens a stream connection to a service, such as "svc:web".
func (n *Node) Dial(service string) (*Conn, error) {
	return n.dial(context.Background(), service, want{})
}

// DialContext has the signature that http.Transport.DialContext and
// grpc.WithContextDialer want. The network is "tcp" (also "tcp4", "tcp6",
// "serval", or empty) for a stream or "udp" for datagrams; the address any form
// of a service name, such as "svc:web", "web" or "web.svc.serval:80". It
// returns a *Conn. Without a deadline in ctx, Config.DialTimeout applies.
func (n *Node) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	c, err := n.DialConn(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// DialConn is DialContext with the concrete type.
func (n *Node) DialConn(ctx context.Context, network, addr string) (*Conn, error) {
	return n.dialNetwork(ctx, network, addr, want{})
}

func (n *Node) dialNetwork(ctx context.Context, network, addr string, w want) (*Conn, error) {
	switch network {
	case "", "serval", "tcp", "tcp4", "tcp6":
		return n.dial(ctx, addr, w)
	case "udp", "udp4", "udp6":
		w.datagram = true
		return n.dial(ctx, addr, w)
	}
	return nil, &OpError{Op: "dial", Service: addr, Err: net.UnknownNetworkError(network)}
}

// dialing is one dial waiting for answers to its SYN.
type dialing struct {
	answers chan answer
}

// answer is a copy of a long packet that came for a dial.
type answer struct {
	pkt    []byte
	from   netip.AddrPort
	socket underlay.Socket
	origin netip.AddrPort // of the instance, if the packet came back through routers
	passed bool           // DELAY rules are to be passed over
	err    error          // instead of a packet: the address cannot answer
}

// copyOf keeps a packet of a batch for a goroutine other than its reader.
func copyOf(b *underlay.Batch, pkt []byte) answer {
	return answer{pkt: append([]byte(nil), pkt...), from: b.From, socket: b.Socket}
}

// put hands an answer to the dialling goroutine; more than it can queue are
// repetitions.
func (d *dialing) put(b *underlay.Batch, pkt []byte) { d.hand(copyOf(b, pkt)) }

func (d *dialing) hand(a answer) {
	select {
	case d.answers <- a:
	default:
	}
}

// dial opens a connection.
func (n *Node) dial(ctx context.Context, service string, w want) (*Conn, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, n.cfg.DialTimeout)
		defer cancel()
	}
	a := &attempt{node: n, want: w, wait: n.cfg.TryNext, asked: make(map[netip.AddrPort]*asked)}
	l, err := a.open(ctx, service)
	if err == nil {
		return l.conn(), nil
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = because(ErrTimeout, "no instance of %v answered in time", a.name)
	}
	return nil, &OpError{Op: "dial", Service: service, Tried: len(a.asked), Err: err}
}

// open is dial with plain errors.
func (a *attempt) open(ctx context.Context, service string) (*link, error) {
	n := a.node
	var err error
	select {
	case <-n.quit:
		return nil, errNodeClosed
	default:
	}
	if a.name, err = sal.ParseName(service); err != nil {
		return nil, err
	}
	if a.name.IsWildcard() {
		return nil, fmt.Errorf("%v stands for many services and can only be served; dial one service below it", a.name)
	}
	if self := n.id.Peer(); !self.MayDial(a.name) {
		return nil, because(ErrNotAuthorized, "this node's certificate does not allow it to dial %v; join with a token that does", a.name)
	}
	if a.list = a.want.ask; a.list == nil {
		if a.list, err = n.candidates(ctx, a.name, a.want.choice); err != nil {
			return nil, err
		}
	}
	d := &dialing{answers: make(chan answer, 4)}
	id := n.flows.Insert(&entry{dial: d})
	a.init, err = handshake.NewInitiator(handshake.Config{Identity: n.id}, a.name, id, a.params())
	if err == nil {
		err = a.run(ctx, d)
	}
	if err != nil {
		n.flows.Delete(id)
		return nil, err
	}
	n.health.answered(a.won.from)
	n.gone.back(a.name, a.won.from)
	n.gone.back(a.name, a.credit)
	n.health.answered(a.credit)
	a.report(a.credit, true)
	l, err := n.establish(&establishment{session: a.session, from: a.won.from, socket: a.won.socket,
		dialled: true, policy: a.want.policy, open: a.third, rtt: a.rtt(), inbox: a.want.shared})
	if err != nil {
		n.flows.Delete(id)
	}
	return l, err
}
