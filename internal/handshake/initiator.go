package handshake

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/serval-net/serval/internal/seal"
	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/sal"
)

const (
	// hopLimit is how many forwarders a SYN may pass.
	hopLimit = 16
	// synLen is what a SYN is padded to. An instance may answer with three times
	// as much before it knows that the dialler is where it says: that is a
	// SYN-ACK and three repetitions.
	synLen = 1024
)

// Initiator is the dialling end of one handshake. It is not safe for concurrent
// use. Drop it when a session is there.
type Initiator struct {
	id      *identity.Identity
	service sal.Name
	params  Params
	e       keypair
	syn     sal.SYN
	packet  []byte
	echo    [16]byte
}

// NewInitiator starts a handshake with whichever instance of the service
// answers. The flow is the dialler's, random and not in use.
func NewInitiator(cfg Config, service sal.Name, flow sal.FlowID, p Params) (*Initiator, error) {
	if service.IsZero() || service.IsWildcard() {
		return nil, fmt.Errorf("%q cannot be dialled: dial one service, such as svc:web", service)
	}
	p.ResetToken = ResetToken(cfg.Identity, flow)
	i := &Initiator{id: cfg.Identity, service: service, params: p, e: newKeypair()}
	i.syn = sal.SYN{
		AES:      seal.HasAES(),
		Datagram: p.Datagram,
		HopLimit: hopLimit,
		Flow:     flow,
		Window:   p.Window,
		Service:  service.ServiceID().WithKey(p.Key),
		Noise:    i.e.public[:],
	}
	i.syn.Extensions = padded(i.port())
	i.packet = i.syn.Append(make([]byte, 0, synLen))
	i.echo = i.syn.Echo()
	return i, nil
}

// SYN returns the packet to send, the same each time until Avoid. The caller must
// not change it.
func (i *Initiator) SYN() []byte { return i.packet }

// Avoid has service routers choose another than the instance at an address from
// now on. It reports false if the address was known, or there are too many.
func (i *Initiator) Avoid(addr netip.AddrPort) bool {
	avoid, _ := i.syn.Extensions.Get(sal.ExtAvoid)
	for a := range sal.Addrs(avoid) {
		if a == addr {
			return false
		}
	}
	e, err := i.port().Add(sal.ExtAvoid, sal.AppendAvoid(bytes.Clone(avoid), addr))
	if err != nil {
		return false
	}
	i.syn.Extensions = padded(e)
	i.packet = i.syn.Append(make([]byte, 0, synLen))
	return true
}

// HandleCookie takes a COOKIE and returns the SYN to send to the instance that
// it came from. The error is ErrForged, or that of a packet that does not parse.
func (i *Initiator) HandleCookie(pkt []byte) (syn []byte, err error) {
	c, err := sal.ParseCookie(pkt)
	if err != nil {
		return nil, err
	}
	if c.Flow != i.syn.Flow || c.Echo != i.echo {
		return nil, ErrForged
	}
	again := i.syn
	e := i.port()
	if avoid, ok := i.syn.Extensions.Get(sal.ExtAvoid); ok {
		e, _ = e.Add(sal.ExtAvoid, avoid) // it was possible before
	}
	if again.Extensions, err = e.Add(sal.ExtCookie, c.Cookie); err != nil {
		return nil, err
	}
	return again.Append(nil), nil // short: the cookie proves the address
}

// HandleRefuse takes a REFUSE. It came from someone who saw the SYN, but is not
// authenticated otherwise: go on with the next instance and do not give up
// because of it alone. The error is as of HandleCookie.
func (i *Initiator) HandleRefuse(pkt []byte) (sal.Refuse, error) {
	r, err := sal.ParseRefuse(pkt)
	if err == nil && (r.Flow != i.syn.Flow || r.Echo != i.echo) {
		err = ErrForged
	}
	if err != nil {
		return sal.Refuse{}, err
	}
	return r, nil
}

// HandleSYNACK takes a SYN-ACK and returns the session with the instance that
// sent it, and the OPEN packet: send it, alone or with data behind it, until an
// authentic packet arrives. After an error the Initiator is as before, and the
// next SYN-ACK may be better: ErrForged and errors of sal mean that nobody
// answered, ErrNotAuthorized that someone did who may not serve the name, and
// ErrNoPorts one who cannot tell the ports of datagrams.
func (i *Initiator) HandleSYNACK(now time.Time, pkt []byte) (*Session, []byte, error) {
	ack, err := sal.ParseSYNACK(pkt)
	if err != nil {
		return nil, nil, err
	}
	if ack.Flow != i.syn.Flow || ack.AES && !i.syn.AES {
		return nil, nil, ErrForged
	}
	state, re, rs, p, err := i.read(&ack)
	if err != nil {
		return nil, nil, err
	}
	peer, err := i.judge(&p, rs, now)
	if err != nil {
		return nil, nil, err
	}
	if i.params.Datagram && p.port != i.params.Port {
		return nil, nil, ErrNoPorts
	}
	via, _ := ack.Extensions.Via()
	open, err := i.write(&state, ack.Source, re, via.Ticket)
	if err != nil {
		return nil, nil, err
	}
	s := &Session{
		Service: i.service,
		Local:   i.syn.Flow,
		Remote:  ack.Source,
		Peer:    peer,
		Port:    i.params.Port,
		PeerParams: Params{
			Window:      ack.Window,
			Datagram:    i.params.Datagram,
			MaxDatagram: p.maxDatagram,
			ResetToken:  p.resetToken,
		},
		Suite:  suite(ack.AES),
		Router: via.Router,
	}
	s.finish(&state, true)
	return s, open, nil
}

// read works out message 2 on a new state.
func (i *Initiator) read(ack *sal.SYNACK) (state symmetric, re, rs *[keyLen]byte, p payload, err error) {
	msg := ack.Noise
	if len(msg) < keyLen+keyLen+tagLen+tagLen {
		return state, nil, nil, p, ErrForged
	}
	state = firstMessage(&i.syn)
	re = (*[keyLen]byte)(msg)
	state.mixHash(re[:])
	if err = i.e.agree(&state, re); err != nil {
		return state, nil, nil, p, err
	}
	static, err := state.open(msg[keyLen : 2*keyLen+tagLen])
	if err != nil {
		return state, nil, nil, p, err
	}
	rs = (*[keyLen]byte)(static)
	if err = i.e.agree(&state, rs); err != nil {
		return state, nil, nil, p, err
	}
	plain, err := state.open(msg[2*keyLen+tagLen:])
	if err != nil {
		return state, nil, nil, p, err
	}
	p, ok := parsePayload(plain)
	if !ok || !bytes.Equal(p.header, ack.AppendPrologue(nil)) || p.port != 0 && p.port != i.params.Port {
		return state, nil, nil, p, ErrForged
	}
	return state, re, rs, p, nil
}

// judge decides whether the instance may serve what was dialled.
func (i *Initiator) judge(p *payload, static *[keyLen]byte, now time.Time) (identity.Peer, error) {
	peer, err := verify(i.id.Cluster(), p.chain, static, now)
	if err != nil {
		return identity.Peer{}, err
	}
	if stated, ok := p.name(); !ok || !stated.Covers(i.service) {
		return identity.Peer{}, fmt.Errorf("%w: node %s serves %q, not %s", ErrNotAuthorized, peer.Node.Short(), p.service, i.service)
	}
	if !peer.MayServe(i.service) {
		return identity.Peer{}, fmt.Errorf("%w: the certificate of node %s does not allow it to serve %s: give it a token that does", ErrNotAuthorized, peer.Node.Short(), i.service)
	}
	return peer, nil
}

// write makes the OPEN packet with message 3.
func (i *Initiator) write(state *symmetric, to sal.FlowID, re *[keyLen]byte, ticket [8]byte) ([]byte, error) {
	s := staticKeypair(i.id.Static())
	msg := state.seal(nil, s.public[:])
	if err := s.agree(state, re); err != nil {
		return nil, err
	}
	p := payload{
		resetToken:  i.params.ResetToken,
		maxDatagram: i.params.MaxDatagram,
		service:     i.service.Path(),
		chain:       i.id.Chain(),
		port:        i.params.Port,
	}
	if ticket != ([8]byte{}) {
		p.ticket = ticket[:]
	}
	msg = state.seal(msg, p.append(nil))
	open := sal.Open{Flow: to, Noise: msg}
	return open.Append(nil), nil
}

// padding is PAD extensions that bring a SYN to synLen.
var padding = func() sal.Extensions {
	bare := sal.SYN{Noise: make([]byte, keyLen)}
	return pad(synLen - len(bare.AppendPrologue(nil)) - 2 - keyLen) // hop limit and length of e
}()

// padded brings a SYN with these extensions to synLen.
func padded(e sal.Extensions) sal.Extensions {
	if len(e) == 0 {
		return padding
	}
	return append(e, pad(len(padding)-len(e))...)
}

// port returns the PORT extension, nothing if no port is asked for.
func (i *Initiator) port() (e sal.Extensions) {
	if i.params.Port != 0 {
		e, _ = e.Add(sal.ExtPort, sal.AppendPort(nil, i.params.Port)) // never fails
	}
	return e
}

// pad is PAD extensions of n bytes in all, at least 2.
func pad(n int) sal.Extensions {
	all := make(sal.Extensions, n) // PAD is 0, and so is what it holds
	for b := all; len(b) > 0; {
		size := min(len(b), 2+255)
		if len(b)-size == 1 { // an extension has at least two bytes
			size--
		}
		b[1] = byte(size - 2)
		b = b[size:]
	}
	return all
}

// firstMessage returns the state after message 1, which both ends compute from
// the SYN.
func firstMessage(syn *sal.SYN) symmetric {
	var buf [64]byte
	state := newSymmetric(syn.AppendPrologue(buf[:0]))
	state.mixHash(syn.Noise) // e
	state.mixHash(nil)       // the empty payload
	return state
}

// verify checks a peer's certificates against the static key that it proved to
// hold.
func verify(c *identity.Cluster, chain []byte, static *[keyLen]byte, now time.Time) (identity.Peer, error) {
	peer, err := c.Verify(chain, now)
	if err == nil && peer.Static != *static {
		err = errors.New("its certificate is for another key")
	}
	if err != nil {
		return identity.Peer{}, fmt.Errorf("%w: %w", ErrNotAuthorized, err)
	}
	return peer, nil
}

func suite(aes bool) seal.Suite {
	if aes {
		return seal.AES128GCM
	}
	return seal.ChaCha20Poly1305
}
