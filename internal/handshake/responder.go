package handshake

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/serval-net/serval/internal/seal"
	"github.com/serval-net/serval/pkg/sal"
)

// Offer is how a listener answers a SYN that it wants.
type Offer struct {
	Service sal.Name          // as the listener is named; may be a wildcard
	NewFlow func() sal.FlowID // makes this end's flow ID: random, not in use
	Params  Params            // of this end; Datagram follows the SYN

	// Router, unless zero, says that the SYN was forwarded: the first router on
	// its way, as the next hop saw it. Where the SYN came from is then hearsay.
	Router netip.AddrPort
}

// Responder is the answering end of all handshakes of a node. It is safe for
// concurrent use, and runs the asymmetric cryptography of different packets in
// parallel.
type Responder struct {
	cfg     Config
	static  keypair
	cookies cookies

	mu    sync.Mutex
	table table
}

// NewResponder returns a Responder. Config's zero limits mean their defaults.
func NewResponder(cfg Config) *Responder {
	if cfg.MaxHalfOpen == 0 {
		cfg.MaxHalfOpen = 4096
	}
	if cfg.CookieThreshold == 0 {
		cfg.CookieThreshold = 256
	}
	cfg.CookieThreshold = min(cfg.CookieThreshold, cfg.MaxHalfOpen)
	return &Responder{
		cfg:     cfg,
		static:  staticKeypair(cfg.Identity.Static()),
		cookies: newCookies(),
		table:   newTable(cfg.MaxHalfOpen),
	}
}

// HandleSYN answers a SYN that came from an address, or was forwarded for it, on a
// listener's behalf. The reply, if not nil, goes back to that address: a SYN-ACK,
// the same again for a repeated SYN, or a COOKIE. Opened says that the SYN was new
// and now waits for its OPEN on the flow ID that the offer made; if it made one and
// opened is false, the flow ID is free again. The error is that of sal.ParseSYN,
// ErrForged for a SYN nobody can answer, or ErrBusy.
func (r *Responder) HandleSYN(now time.Time, pkt []byte, from netip.AddrPort, o Offer) (reply []byte, opened bool, err error) {
	syn, err := sal.ParseSYN(pkt)
	if err != nil {
		return nil, false, err
	}
	if len(syn.Noise) != keyLen {
		return nil, false, ErrForged
	}
	key := synKey{from: from, id: synID(&syn)}
	r.mu.Lock()
	reply, known := r.table.again(key, len(pkt))
	demand := len(r.table.bySYN) >= r.cfg.CookieThreshold
	r.mu.Unlock()
	if known {
		return reply, false, nil
	}
	proved := r.cookies.valid(now, &syn, key)
	if demand && !proved {
		c := sal.Cookie{Flow: syn.Flow, Echo: syn.Echo(), Cookie: r.cookies.make(now, key)}
		return c.Append(nil), false, nil
	}
	h := &half{key: key, service: o.Service, params: o.Params, created: now, received: len(pkt), proved: proved,
		router: o.Router}
	r.mu.Lock()
	reply, known = r.table.again(key, 0) // another copy may have come in meanwhile
	admitted := !known && r.table.admit(h)
	r.mu.Unlock()
	if !admitted {
		if !known {
			err = ErrBusy
		}
		return reply, false, err
	}
	flow := o.NewFlow()
	reply, err = r.answer(h, &syn, flow)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		err = r.table.ready(h, flow, reply, now)
	}
	if err != nil {
		r.table.remove(h)
		return nil, false, err
	}
	return reply, true, nil
}

// answer reads message 1 and writes message 2.
func (r *Responder) answer(h *half, syn *sal.SYN, flow sal.FlowID) ([]byte, error) {
	e := newKeypair()
	re := (*[keyLen]byte)(syn.Noise)
	state := firstMessage(syn)
	state.mixHash(e.public[:])
	if err := e.agree(&state, re); err != nil {
		return nil, err
	}
	msg := append(make([]byte, 0, 768), e.public[:]...)
	msg = state.seal(msg, r.static.public[:])
	if err := r.static.agree(&state, re); err != nil {
		return nil, err
	}
	h.suite = seal.Choose(syn.AES)
	ack := sal.SYNACK{
		AES:    h.suite == seal.AES128GCM,
		Flow:   syn.Flow,
		Source: flow,
		Window: h.params.Window,
	}
	p := payload{
		resetToken:  ResetToken(r.cfg.Identity, flow),
		maxDatagram: h.params.MaxDatagram,
		service:     h.service.Path(),
		chain:       r.cfg.Identity.Chain(),
		header:      ack.AppendPrologue(nil),
		port:        syn.Extensions.Port(),
	}
	ack.Noise = state.seal(msg, p.append(nil))
	if h.router.IsValid() {
		rand.Read(h.ticket[:]) // never fails
		v := sal.AppendVia(nil, sal.Via{Router: h.router, Ticket: h.ticket})
		ack.Extensions, _ = sal.Extensions(nil).Add(sal.ExtVia, v) // never fails
	}
	h.e, h.state = e, state
	h.peerFlow, h.peerService = syn.Flow, syn.Service
	h.peerParams = Params{Window: syn.Window, Datagram: syn.Datagram, Key: syn.Service.Key()}
	return ack.Append(nil), nil
}

// HandleOPEN completes a handshake with its third packet and returns the session
// and what follows the OPEN in the datagram. ErrForged leaves the handshake as it
// was. ErrUnknown means that no handshake waits on the flow: if there is a
// connection on it, the OPEN is a duplicate, and any sealed packet answers it.
//
// With ErrNotAuthorized there is a session all the same, for nothing but a
// sealed RST that tells the peer why.
func (r *Responder) HandleOPEN(now time.Time, pkt []byte) (s *Session, rest []byte, err error) {
	open, err := sal.ParseOpen(pkt)
	if err != nil {
		return nil, nil, err
	}
	r.mu.Lock()
	h := r.table.byFlow[open.Flow]
	waits := h != nil && !h.busy
	if waits {
		h.busy = true // a duplicate that arrives meanwhile is not worked out
	}
	r.mu.Unlock()
	if !waits {
		return nil, nil, ErrUnknown
	}
	s, err = r.complete(h, open.Noise, now)
	r.mu.Lock()
	defer r.mu.Unlock()
	h.busy = false
	if s == nil {
		return nil, nil, err
	}
	if r.table.byFlow[h.flow] != h {
		return nil, nil, ErrUnknown // it expired meanwhile
	}
	r.table.remove(h)
	return s, open.Rest, err
}

// complete reads message 3 on a copy of the state.
func (r *Responder) complete(h *half, msg []byte, now time.Time) (*Session, error) {
	if len(msg) < keyLen+tagLen+tagLen {
		return nil, ErrForged
	}
	state := h.state
	static, err := state.open(msg[:keyLen+tagLen])
	if err != nil {
		return nil, err
	}
	rs := (*[keyLen]byte)(static)
	if err := h.e.agree(&state, rs); err != nil {
		return nil, err
	}
	plain, err := state.open(msg[keyLen+tagLen:])
	if err != nil {
		return nil, err
	}
	p, ok := parsePayload(plain)
	if !ok {
		return nil, ErrForged
	}
	s := &Session{
		Service: h.service,
		Local:   h.flow,
		Remote:  h.peerFlow,
		Suite:   h.suite,
		Port:    p.port, // not what the SYN said, which anybody may alter
	}
	s.Hearsay = h.router.IsValid() && !hmac.Equal(p.ticket, h.ticket[:])
	s.PeerParams = h.peerParams
	s.PeerParams.MaxDatagram, s.PeerParams.ResetToken = p.maxDatagram, p.resetToken
	s.finish(&state, false)
	if s.Peer, err = verify(r.cfg.Identity.Cluster(), p.chain, rs, now); err != nil {
		return s, err
	}
	return s, s.judge(h, &p)
}

// judge decides whether the dialler may dial the service, and fills in which.
func (s *Session) judge(h *half, p *payload) error {
	name, ok := p.name()
	if !ok || !h.service.Covers(name) || !name.Prefix().Contains(h.peerService) {
		return fmt.Errorf("%w: node %s dialled %q by another service's ID", ErrNotAuthorized, s.Peer.Node.Short(), p.service)
	}
	s.Service = name
	if !s.Peer.MayDial(name) {
		return fmt.Errorf("%w: the certificate of node %s does not allow it to dial %s: give it a token that does", ErrNotAuthorized, s.Peer.Node.Short(), name)
	}
	return nil
}

// synID names a SYN: copies that were altered on the way are other SYNs, and
// cannot take the place of the genuine one.
func synID(syn *sal.SYN) [sha256.Size]byte {
	var buf [128]byte
	b := append(syn.AppendPrologue(buf[:0]), syn.Noise...)
	if port := syn.Extensions.Port(); port != 0 {
		b = sal.AppendPort(b, port)
	}
	return sha256.Sum256(b)
}
