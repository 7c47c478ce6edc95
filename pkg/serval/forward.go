package serval

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/serval-net/serval/internal/underlay"
	"github.com/serval-net/serval/pkg/sal"
)

// A service router sends first packets on by the FORWARD rules of its service
// table, and has nothing to do with a connection but that. It keeps no state for
// them: what it needs to carry an answer back travels in the packet, as an entry
// of SOURCE whose tag only this router can make.
//
//	dialler        router          instance
//	   |  SYN  ------> |  SYN  ------> |     SOURCE: dialler
//	   | <----------------------- SYN-ACK    straight, at once
//	   |               | <------- BACK |     if no OPEN comes in 10 ms: the dialler
//	   | <------- BACK |               |     may be behind a NAT or firewall
//	   |  OPEN, data ----------------> |     later packets never pass the router
//
// An instance serves for the address that routers state only as far as the dialler
// shows that it receives there; see way.

// RouterService is where answers are sent that go back through routers.
const RouterService = "svc:serval/router"

var routerID = sal.MustParseName(RouterService).ServiceID()

// router is what a node needs to forward.
type router struct {
	tags      cipher.Block
	forwarded atomic.Uint64
	returned  atomic.Uint64
	upward    aggregates
}

func (r *router) init() {
	var key [16]byte
	rand.Read(key[:])                 // never fails
	r.tags, _ = aes.NewCipher(key[:]) // nor does this
}

// tagEpoch is how long tags stay the same: an answer may come back until the end
// of the next epoch.
const tagEpoch = 8 * time.Second

func epochAt(t time.Time) uint32 { return uint32(t.UnixNano() / int64(tagEpoch)) }

// forwarding is the router's part that belongs to one socket's reader.
type forwarding struct {
	node    *Node
	trains  trainYard
	in, out [aes.BlockSize]byte
	room    [2048]byte // for a packet that grows
}

// handler returns what takes the datagrams of one socket.
func (n *Node) handler() underlay.Handler {
	if !n.cfg.Forward {
		return n.receive
	}
	f := &forwarding{node: n}
	return func(b *underlay.Batch) {
		n.take(b, f)
		if !b.More {
			f.trains.flush()
		}
	}
}

// syn forwards a SYN if that is what the service table says, right here on the
// reader. If not, an opener sees to it.
func (f *forwarding) syn(b *underlay.Batch, pkt []byte) bool {
	syn, err := sal.ParseSYN(pkt)
	if err != nil {
		return false
	}
	out, to, ok := f.onward(&syn, pkt, b.From, b.Socket, false)
	if ok {
		f.trains.put(out, to)
	}
	return ok
}

// forwardLate is for a SYN that an opener has: it goes where the service table
// says when nobody here takes it.
func (n *Node) forwardLate(a *answer, syn *sal.SYN) bool {
	if !n.cfg.Forward {
		return false
	}
	out, to, ok := (&forwarding{node: n}).onward(syn, a.pkt, a.from, a.socket, true)
	if ok {
		to.by.Send(out, len(out), to.addr)
	}
	return ok
}

// onward finds the next hop of a SYN that came from an address to a socket, and
// makes of pkt what to send there, see sal.ForwardSYN. Late is as for route.
func (f *forwarding) onward(syn *sal.SYN, pkt []byte, from netip.AddrPort, at underlay.Socket, late bool) (out []byte, to nextHop, ok bool) {
	n := f.node
	if to, ok = n.route(syn, from, len(pkt), late); !ok {
		return nil, to, false
	}
	tag := f.tag(from, at.LocalAddr(), syn.Flow, epochAt(time.Now()))
	if out, ok = sal.ForwardSYN(pkt, sal.Source{Addr: from, Tag: tag}, f.room[:0]); ok {
		n.router.forwarded.Add(1)
	}
	return out, to, ok
}

// tag is a MAC over where a SYN came from and to, its flow and the time: it shows
// later that this router forwarded the SYN, and by which socket it can answer.
func (f *forwarding) tag(from, at netip.AddrPort, flow sal.FlowID, epoch uint32) (t [8]byte) {
	block := f.node.router.tags
	f.out = [aes.BlockSize]byte{}
	mix := func(a netip.Addr) {
		ip := a.As16()
		subtle.XORBytes(f.in[:], f.out[:], ip[:])
		block.Encrypt(f.out[:], f.in[:])
	}
	mix(from.Addr())
	mix(at.Addr())
	var last [aes.BlockSize]byte
	binary.BigEndian.PutUint16(last[0:], from.Port())
	binary.BigEndian.PutUint16(last[2:], at.Port())
	binary.BigEndian.PutUint32(last[4:], uint32(flow))
	binary.BigEndian.PutUint32(last[8:], epoch)
	subtle.XORBytes(f.in[:], f.out[:], last[:])
	block.Encrypt(f.out[:], f.in[:])
	return [8]byte(f.out[:])
}
