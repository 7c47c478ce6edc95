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

// retransmit is how often a broadcast is repeated, times a logarithm of the
// number of members: of 50 nodes, all but one in 10,000 hear of it.
const retransmit = 6

// config is tuned for registrations that reach a cluster of some hundred
// nodes in a few rounds, a fraction of a second. Rounds with nothing to tell
// cost nothing.
func (m *membership) config() *memberlist.Config {
	c := memberlist.DefaultLANConfig()
	// A node may come back before it is known to have gone, and nobody believes
	// that a living member has another address.
	c.Name = fmt.Sprintf("%v-%08x", m.g.id.Node(), rand.Uint32())
	key := m.g.id.Cluster().GossipKey()
	c.SecretKey = key[:]
	c.GossipInterval = 100 * time.Millisecond
	c.GossipNodes = 5
	c.RetransmitMult = retransmit
	c.ProbeInterval = time.Second
	c.ProbeTimeout = 300 * time.Millisecond
	c.SuspicionMult = 3
	c.PushPullInterval = 5 * time.Second // less often in clusters of more than 32
	c.TCPTimeout = 5 * time.Second
	c.EnableCompression = false // records are mostly keys and signatures
	c.UDPBufferSize = 1400
	c.Delegate = m
	c.Events = m
	c.Logger = log.New(&logWriter{m.g.log}, "", 0)
	return c
}

// NodeMeta tells others which node this is, and of its memberships which is the
// latest: the node's ID, then the time of the membership's begin, in ns.
func (m *membership) NodeMeta(int) []byte {
	node := m.g.id.Node()
	return binary.BigEndian.AppendUint64(node[:], m.begun)
}

func nodeOf(n *memberlist.Node) (node identity.NodeID) {
	copy(node[:], n.Meta)
	return node
}

func begunOf(n *memberlist.Node) uint64 {
	if at := len(identity.NodeID{}); len(n.Meta) >= at+8 {
		return binary.BigEndian.Uint64(n.Meta[at:])
	}
	return 0
}

// NotifyMsg gets a broadcast.
func (m *membership) NotifyMsg(record []byte) {
	r, err := m.g.receive(record)
	if err != nil {
		m.g.dropped(err)
	}
	if r != nil && !r.Renews() {
		m.tell(r, passOn)
	}
}

// GetBroadcasts returns what to say in this round.
func (m *membership) GetBroadcasts(overhead, limit int) [][]byte {
	return m.g.queue.GetBroadcasts(overhead, limit)
}

// How many bytes of records two nodes exchange: when one joins, nearly as many as
// memberlist takes, and now and then after, which only makes up for broadcasts
// that were lost.
const (
	joinState = 16 << 20
	someState = 4 << 20
)

// LocalState returns records, each with its length as u16 before it: all if they
// are not too many.
func (m *membership) LocalState(join bool) []byte {
	most := someState
	if join {
		most = joinState
	}
	var b []byte
	for _, record := range m.g.Some(most) {
		b = binary.BigEndian.AppendUint16(b, uint16(len(record)))
		b = append(b, record...)
	}
	return b
}

// spreadAtOnce is how much news of one that joins is passed on without waiting
// for the next round of gossip: enough for one that has moved.
const spreadAtOnce = 16

// MergeRemoteState takes in another node's LocalState.
func (m *membership) MergeRemoteState(b []byte, join bool) {
	told := 0
	err := eachRecord(b, m.g.Limits().Records, func(record []byte) {
		r, err := m.g.receive(record)
		if err != nil {
			m.g.dropped(err)
		}
		if r != nil && join && !r.Renews() && told < spreadAtOnce {
			told++
			m.tell(r, tellAtOnce)
		}
	})
	if err != nil {
		m.g.log.Warn("a node sent a state that is not whole", "err", err)
	}
}

// eachRecord splits a state of at most so many records.
func eachRecord(b []byte, most int, f func([]byte)) error {
	for ; len(b) > 0; most-- {
		if most == 0 {
			return errState
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
	return nil
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

// warnClock is how often is warned of clocks.
const warnClock = time.Minute

// dropped logs why a record was. Somebody has to set a clock, who does not read
// what is for developers.
func (g *Gossip) dropped(err error) {
	level, now := slog.LevelDebug, time.Now().UnixNano()
	if last := g.warned.Load(); errors.Is(err, resolver.ErrClock) && now-last >= int64(warnClock) && g.warned.CompareAndSwap(last, now) {
		level = slog.LevelWarn
	}
	g.log.Log(g.ctx, level, "dropped a record", "err", err)
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
