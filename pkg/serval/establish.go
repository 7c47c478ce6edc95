package serval

import (
	"net/netip"
	"time"

	"github.com/serval-net/serval/internal/flow"
	"github.com/serval-net/serval/internal/flowset"
	"github.com/serval-net/serval/internal/handshake"
	"github.com/serval-net/serval/internal/rsyn"
	"github.com/serval-net/serval/internal/seal"
	"github.com/serval-net/serval/internal/underlay"
)

// establishment is what a finished handshake leaves behind.
type establishment struct {
	session *handshake.Session
	from    netip.AddrPort
	socket  underlay.Socket
	rtt     time.Duration // 0 if not measured

	// unproven, if not 0, is the size of the OPEN: the address that it came from
	// has yet to prove itself, as that of a JOIN.
	unproven int

	listener *Listener // that it came in by; nil if dialled
	dialled  bool
	policy   Policy // of the dial, if it has one
	open     []byte // the dialler's third packet
	inbox    *inbox // for datagrams: a PacketConn's, or nil to make one
}

// params is what this node tells a peer about the connection to come.
func (n *Node) params(datagram bool) handshake.Params {
	w := n.cfg.Window
	if w == 0 {
		w = flowset.DefaultWindow
	}
	return handshake.Params{Window: uint32(w), Datagram: datagram}
}

// establish turns a handshake into a connection and enters it in the flow
// table, where packets find it from now on.
func (n *Node) establish(e *establishment) (*link, error) {
	now := n.now()
	ses := e.session
	l := &link{node: n, peer: ses.Peer, token: ses.PeerParams.ResetToken, listener: e.listener}
	l.local = Addr{Instance: n.ID(), Underlay: e.socket.LocalAddr()}
	l.remote = Addr{Instance: ses.Peer.Node, Underlay: e.from}
	if e.dialled {
		l.remote.Service, l.remote.Port = ses.Service.String(), ses.Port
		l.opening.start(now, e.open, e.rtt)
	} else {
		l.local.Service, l.local.Port = ses.Service.String(), ses.Port
	}
	l.port, l.ports = ses.Port, ses.Port != 0 && ses.PeerParams.Datagram
	l.set = flowset.New(flowset.Config{Window: n.cfg.Window, MaxWindow: n.cfg.MaxWindow,
		PeerWindow: uint64(ses.PeerParams.Window), Patience: n.cfg.Patience, Datagram: ses.PeerParams.Datagram,
		Control: l, OnState: l.onState})
	f := flow.New(now, flow.Config{
		Local: ses.Local, Remote: ses.Remote, RTT: e.rtt, LinkMTU: e.socket.MTU(), Seed: n.seed + uint64(ses.Local),
		Route:  n.routes.to(e.from.Addr()),
		Sealer: seal.NewSealer(ses.Suite, ses.SendSecret, 0), Opener: seal.NewOpener(ses.Suite, ses.RecvSecret, 0),
	})
	p, state := path{flow: f, socket: e.socket, remote: e.from, at: rsyn.New(e.socket.LocalAddr(), e.from)}, flowset.Active
	var ask moveOut
	if e.unproven > 0 {
		p.at, ask = rsyn.NewJoined(moveIn{Now: now, At: e.socket.LocalAddr(), From: e.from, Size: e.unproven, Fresh: [2]rsyn.Token{fresh(), fresh()}})
		state = flowset.Pending
	}
	l.addPath(p, now, state)
	l.dialled, l.joiner, l.policy = e.dialled, ses.Joiner(), n.cfg.Policy
	if e.policy != (Policy{}) {
		l.policy = e.policy
	}
	l.service, l.first = ses.Service, ses.Remote
	l.set.SetMode(l.policy.Mode.flowset())
	l.live.start(now)
	l.began = now
	if ses.PeerParams.Datagram {
		l.inbox, l.shared = e.inbox, e.inbox != nil
		if l.inbox == nil {
			l.inbox = newInbox()
		}
	} else {
		ep, err := n.stack.Open(l)
		if err != nil {
			l.dropPaths()
			return nil, err
		}
		l.ep = ep
	}
	if err := n.addLink(l); err != nil {
		if l.ep != nil {
			l.ep.DeliverReset(err)
		}
		l.dropPaths()
		return nil, err
	}
	n.flows.Store(ses.Local, &entry{link: l})
	n.finder.places.refresh(n)
	l.mu.Lock()
	l.busy(0)
	l.reconsider(now)
	l.event(ConnOpened, 0, "")
	if e.unproven > 0 {
		l.sendMoves(now, 0, &ask)
	}
	l.arm(now)
	l.mu.Unlock()
	return l, nil
}

// conn is the application's view of l.
func (l *link) conn() *Conn {
	c := &Conn{link: l}
	if l.ep != nil {
		c.tcp = l.ep.Conn()
	}
	return c
}
