package gossip

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/resolver"
)

// memberConfig is tuned for registrations that reach a cluster of some hundred
// nodes in a few rounds, a fraction of a second. Rounds with nothing to tell
// cost nothing.
func (g *Gossip) memberConfig() *memberlist.Config {
	c := memberlist.DefaultLANConfig()
	// A node may come back before it is known to have gone.
	c.Name = fmt.Sprintf("%v-%08x", g.id.Node(), rand.Uint32())
	key := g.id.Cluster().GossipKey()
	c.SecretKey = key[:]
	c.GossipInterval = 100 * time.Millisecond
	c.GossipNodes = 5
	c.RetransmitMult = 6 // of 50 nodes, all but one in 10,000 hear of a broadcast
	c.ProbeInterval = time.Second
	c.ProbeTimeout = 300 * time.Millisecond
	c.SuspicionMult = 3
	c.PushPullInterval = 5 * time.Second // less often in clusters of more than 32
	c.TCPTimeout = 5 * time.Second
	c.EnableCompression = false // records are mostly keys and signatures
	c.UDPBufferSize = 1400
	c.Delegate = (*delegate)(g)
	c.Events = (*delegate)(g)
	c.Logger = log.New(&logWriter{g.log}, "", 0)
	return c
}

// delegate is what memberlist sees of a Gossip.
type delegate Gossip

// NodeMeta tells others which node this is.
func (d *delegate) NodeMeta(int) []byte {
	node := d.id.Node()
	return node[:]
}

func nodeOf(n *memberlist.Node) (node identity.NodeID) {
	copy(node[:], n.Meta)
	return node
}

// NotifyMsg gets a broadcast.
func (d *delegate) NotifyMsg(record []byte) {
	if _, err := (*Gossip)(d).receive(record); err != nil {
		d.log.Debug("dropped a record", "err", err)
	}
}

// GetBroadcasts returns what to say in this round.
func (d *delegate) GetBroadcasts(overhead, limit int) [][]byte {
	return d.queue.GetBroadcasts(overhead, limit)
}

// LocalState returns all records, each with its length as u16 before it.
func (d *delegate) LocalState(bool) []byte {
	var b []byte
	for _, record := range d.Records() {
		b = binary.BigEndian.AppendUint16(b, uint16(len(record)))
		b = append(b, record...)
	}
	return b
}

// MergeRemoteState takes in another node's LocalState.
func (d *delegate) MergeRemoteState(b []byte, _ bool) {
	err := eachRecord(b, func(record []byte) {
		if _, err := (*Gossip)(d).receive(record); err != nil {
			d.log.Debug("dropped a record", "err", err)
		}
	})
	if err != nil {
		d.log.Warn("a node sent a state that is not whole", "err", err)
	}
}

// eachRecord splits a state.
func eachRecord(b []byte, f func([]byte)) error {
	for range resolver.MaxRecords {
		if len(b) == 0 {
			return nil
		}
		if len(b) < 2 {
			return errState
		}
		n := int(binary.BigEndian.Uint16(b))
		b = b[2:]
		if n > resolver.MaxRecord || n > len(b) {
			return errState
		}
		f(b[:n])
		b = b[n:]
	}
	return errState
}

var errState = errors.New("gossip: a state is cut off or too long")

// receive takes a record in and, if it is news, passes it on and returns it.
func (g *Gossip) receive(raw []byte) (*resolver.Record, error) {
	r, err := g.Add(raw, time.Now())
	if r != nil {
		g.queue.QueueBroadcast(broadcast{r})
	}
	return r, err
}

// tellAtOnce is how many members are told of what begins or ends here without
// waiting for the next round of gossip.
const tellAtOnce = 32

// tell sends a record to some members at once.
func (g *Gossip) tell(r *resolver.Record) {
	members := g.list.Members()
	rand.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
	self := g.list.LocalNode().Name
	for _, m := range members[:min(len(members), tellAtOnce)] {
		if m.Name != self {
			g.list.SendBestEffort(m, r.Raw()) // gossip makes up for a loss
		}
	}
}

// broadcast is a record in the queue. A later record of the same instance takes
// its place there.
type broadcast struct{ *resolver.Record }

// Name tells instances apart.
func (b broadcast) Name() string { return string(b.Node[:]) + b.Service.String() }

// Invalidates is for broadcasts without a name.
func (b broadcast) Invalidates(memberlist.Broadcast) bool { return false }

// Message returns the record.
func (b broadcast) Message() []byte { return b.Raw() }

// Finished is called when it was sent often enough, or was replaced.
func (b broadcast) Finished() {}

// NotifyJoin lifts what suspicion there is of a node that is back.
func (d *delegate) NotifyJoin(n *memberlist.Node) {
	d.alive.Add(1)
	d.Report(resolver.Instance{Node: nodeOf(n)}, true)
}

// NotifyLeave makes a node's instances come last, until they are renewed.
func (d *delegate) NotifyLeave(n *memberlist.Node) {
	d.alive.Add(-1)
	if nodeOf(n) != d.id.Node() {
		d.Report(resolver.Instance{Node: nodeOf(n)}, false)
	}
}

// NotifyUpdate is of no interest: what a node tells of itself never changes.
func (d *delegate) NotifyUpdate(*memberlist.Node) {}

// logWriter passes memberlist's log on. Of its levels only some reach operators:
// what it calls errors are mostly single lost packets.
type logWriter struct{ log *slog.Logger }

func (w *logWriter) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	switch {
	case strings.HasPrefix(text, "[WARN]"), strings.HasPrefix(text, "[ERR]"):
		w.log.Info(text)
	default:
		w.log.Debug(text)
	}
	return len(line), nil
}
