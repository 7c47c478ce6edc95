package gossip

import (
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/resolver"
)

// membership is this node's part in the gossip at one address. Whoever moves
// begins another, with the same records. It is what memberlist sees of a Gossip.
type membership struct {
	g     *Gossip
	begun uint64         // ns since 1970
	bind  netip.AddrPort // as asked for
	ended sync.Once

	// list is nil while it begins, which memberlist does not wait for before it
	// hands over what others say.
	list atomic.Pointer[memberlist.Memberlist]

	mu    sync.Mutex
	alive int                     // members, this one included
	nodes map[identity.NodeID]int // memberships of each that are alive
}

// begin opens the transport and becomes a cluster of one.
func (g *Gossip) begin(bind, advertise netip.AddrPort) (*membership, error) {
	m := &membership{g: g, bind: bind, begun: uint64(time.Now().UnixNano()), nodes: make(map[identity.NodeID]int)}
	conf := m.config()
	t, err := g.cfg.open(bind, advertise, conf)
	if err != nil {
		return nil, err
	}
	conf.Transport = t
	list, err := memberlist.Create(conf)
	if err != nil {
		t.Shutdown()
		return nil, err
	}
	m.list.Store(list)
	return m, nil
}

// end leaves, for which others get some time to hear of it, or none, and waits
// for all goroutines but perhaps a last probe's. A second call does nothing.
func (m *membership) end(farewell time.Duration) {
	m.ended.Do(func() {
		list := m.list.Load()
		if farewell > 0 {
			if err := list.Leave(farewell); err != nil {
				m.g.log.Debug("left the gossip before everybody knew", "err", err)
			}
		}
		list.Shutdown()
	})
}

// addr is where others find it.
func (m *membership) addr() netip.AddrPort { return addrOf(m.list.Load().LocalNode()) }

func addrOf(n *memberlist.Node) netip.AddrPort {
	ip, _ := netip.AddrFromSlice(n.Addr)
	return netip.AddrPortFrom(ip.Unmap(), n.Port)
}

// latest returns the members, each with its latest membership only: gossip takes
// a while to see that a node has left the address that it moved away from.
func (m *membership) latest() []*memberlist.Node {
	list := m.list.Load()
	if list == nil {
		return nil
	}
	at := make(map[identity.NodeID]int)
	var all []*memberlist.Node
	for _, n := range list.Members() {
		node := nodeOf(n)
		i, known := at[node]
		switch {
		case !known:
			at[node] = len(all)
			all = append(all, n)
		case begunOf(n) > begunOf(all[i]):
			all[i] = n
		}
	}
	return all
}

// others returns the members but for this node.
func (m *membership) others() []*memberlist.Node {
	self := m.g.id.Node()
	return slices.DeleteFunc(m.latest(), func(n *memberlist.Node) bool { return nodeOf(n) == self })
}

func (m *membership) size() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.alive
}

// isAlone reports whether it knows no other node.
func (m *membership) isAlone() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.nodes) <= 1
}

// count notes that a membership of a node has begun or ended, and returns how
// many it has now.
func (m *membership) count(node identity.NodeID, by int) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.alive += by
	m.nodes[node] += by
	n := m.nodes[node]
	if n <= 0 {
		delete(m.nodes, node)
	}
	return n
}

// NotifyJoin lifts what suspicion there is of a node that is back.
func (m *membership) NotifyJoin(n *memberlist.Node) {
	m.count(nodeOf(n), 1)
	m.g.lost.found(nodeOf(n))
	m.g.Report(resolver.Instance{Node: nodeOf(n)}, true)
}

// NotifyLeave makes a node's instances come last, until they are renewed, and has
// the node sought, unless it has only moved.
func (m *membership) NotifyLeave(n *memberlist.Node) {
	node := nodeOf(n)
	if left := m.count(node, -1); left > 0 || node == m.g.id.Node() || m != m.g.member() {
		return
	}
	m.g.lost.note(Member{node, addrOf(n)}, time.Now())
	m.g.Report(resolver.Instance{Node: node}, false)
}

// NotifyUpdate is of no interest: what a node tells of itself never changes.
func (m *membership) NotifyUpdate(*memberlist.Node) {}
