package serval

import (
	"time"

	"github.com/serval-net/serval/internal/handshake"
	"github.com/serval-net/serval/internal/underlay"
	"github.com/serval-net/serval/pkg/sal"
)

// A stateless reset ends a connection whose other end has lost all state, for
// instance because its process restarted: a RST with the flow ID that is
// unknown here and the token that only this node can compute for it. The peer
// learnt the token, encrypted, when the connection opened. It is shorter than
// any sealed RST, and than what it answers, so that two nodes cannot keep each
// other busy.
const statelessReset = sal.ShortHeaderLen + 16

// resetsPerSecond bounds what unknown flows make this node send. After a restart
// it is also how many connections a second learn of it.
const resetsPerSecond = 1000

// unknown answers a packet for a flow that this node does not have.
func (n *Node) unknown(b *underlay.Batch, pkt []byte, t sal.Type, id sal.FlowID) {
	switch {
	case t == sal.TypeRST && len(pkt) == statelessReset:
		n.resetBy(id, [16]byte(pkt[sal.ShortHeaderLen:]))
	case t != sal.TypeRST && len(pkt) > statelessReset && n.resets.allow(time.Now()):
		token := handshake.ResetToken(n.id, id)
		out := append(sal.AppendShort(make([]byte, 0, statelessReset), sal.TypeRST, false, 0, id, 0), token[:]...)
		b.Socket.Send(out, len(out), b.From)
	}
}

// resetBy ends the connection whose peer, by the token, has lost it. The flow
// ID is the peer's, so the flow table is no help.
func (n *Node) resetBy(remote sal.FlowID, token [16]byte) {
	n.mu.Lock()
	l := n.byToken[token]
	n.mu.Unlock()
	if l == nil || l.first != remote {
		return
	}
	n.wg.Add(1)
	go func() { // not on the reader: the link may be busy with us
		defer n.wg.Done()
		l.fail(because(ErrReset, "the peer no longer knows this connection; it was restarted"))
	}()
}
