package serval

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/serval-net/serval/internal/flow"
	"github.com/serval-net/serval/internal/flowset"
	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/sal"
)

const (
	// maxInstances bounds the instances that a PacketConn is connected to. The one
	// that was unused for longest makes room.
	maxInstances = 1024
	// instanceIdle is how long the connection to one is kept unused.
	instanceIdle = 30 * time.Second
	// boundIdle is the same for those that someone asked for: above may be a
	// protocol that believes in the instance through an outage.
	boundIdle = DefaultPatience
	// standInFor is how long an instance stands in for another one, which did not
	// answer, or for the router that led to it. Then that is asked again.
	standInFor = 5 * time.Second
)

// instances are the connections of a PacketConn to the instances of services
// that it wrote to.
type instances struct {
	conn *PacketConn
	ctx  context.Context // of the dials; ends with the PacketConn
	stop context.CancelFunc
	idle time.Duration // instanceIdle, but in tests
	most int           // maxInstances, but in tests

	mu     sync.Mutex
	closed bool
	all    map[instanceKey]*instance
	dials  sync.WaitGroup
}

// instanceKey is an instance as a resolver tells of it: by the node, or by its
// first address if it does not know the node.
type instanceKey struct {
	service sal.Name
	node    identity.NodeID
	addr    netip.AddrPort
}

func (c *candidate) key(service sal.Name) instanceKey {
	if c.from.Node != anyNode {
		return instanceKey{service: service, node: c.from.Node}
	}
	return instanceKey{service: service, addr: c.addr}
}

// mayBe reports whether a connection is to the node that the key has, if any.
func (k instanceKey) mayBe(l *link) bool { return k.node == anyNode || k.node == l.peer.Node }

// instance is a connection to one, or the dial that is to become it.
type instance struct {
	ready  chan struct{} // closed when link or err is set
	link   *link
	err    error
	silent bool      // when somebody last looked
	until  time.Time // when it no longer stands in for another; zero if it does not
}

// dialled returns the connection, nil while it is not open.
func (s *instance) dialled() *link {
	select {
	case <-s.ready:
		return s.link
	default:
		return nil
	}
}

// stale reports whether another dial is due: the connection has ended, or has
// stood in for another for long enough.
func (s *instance) stale() bool {
	l := s.dialled()
	return l != nil && (l.over() || !s.until.IsZero() && time.Now().After(s.until))
}

// standsIn reports whether another than the instance of a key answered in its
// place.
func (s *instance) standsIn(key instanceKey) bool {
	l := s.dialled()
	return l != nil && !key.mayBe(l)
}

func (in *instances) init(p *PacketConn) {
	in.conn, in.idle, in.most, in.all = p, instanceIdle, maxInstances, make(map[instanceKey]*instance)
	in.ctx, in.stop = context.WithCancel(context.Background())
}

// close ends the dials, waits for them and returns the connections.
func (in *instances) close() (all []*link) {
	in.stop()
	in.mu.Lock()
	in.closed = true
	in.mu.Unlock()
	in.dials.Wait()
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, s := range in.all {
		if l := s.dialled(); l != nil {
			all = append(all, l)
		}
	}
	return all
}

// get returns the instance of a key, and dials it if there is no connection. The
// dial asks w.ask in turn, so that another one than the first may answer, unless w
// is fixed.
func (in *instances) get(key instanceKey, w want) (*instance, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return nil, net.ErrClosed
	}
	s := in.all[key]
	if s != nil {
		if !s.stale() && !(w.fixed && s.standsIn(key)) {
			return s, nil
		}
		delete(in.all, key)
	}
	oldest, err := in.makeRoom()
	if err != nil {
		return nil, err
	}
	s = &instance{ready: make(chan struct{})}
	in.all[key] = s
	in.dials.Go(func() {
		if oldest != nil {
			oldest.abort(flowset.ResetAborted, "others are written to more often")
		}
		in.dial(s, key, w)
	})
	return s, nil
}

// makeRoom forgets the instance that was unused for longest if there are too
// many, and returns its connection. The caller holds mu.
func (in *instances) makeRoom() (oldest *link, err error) {
	if len(in.all) < in.most {
		return nil, nil
	}
	var key instanceKey
	for k, s := range in.all {
		if l := s.dialled(); l != nil && (oldest == nil || l.lastUsed() < oldest.lastUsed()) {
			oldest, key = l, k
		}
	}
	if oldest == nil {
		return nil, because(ErrRefused, "%d instances are being dialled at once; write to fewer", len(in.all))
	}
	delete(in.all, key)
	return oldest, nil
}

// dial opens the connection of s.
func (in *instances) dial(s *instance, key instanceKey, w want) {
	defer close(s.ready)
	c, err := in.conn.node.dial(in.ctx, key.service.String(), w)
	if err != nil {
		s.err = err
		in.forget(key, s)
		return
	}
	l := c.link
	if w.fixed && !key.mayBe(l) {
		l.abort(flowset.ResetAborted, "another instance was wanted")
		s.err = because(ErrNoService, "another node than %v is at its address", key.node.Short())
		in.forget(key, s)
		return
	}
	l.endWhenIdle(in.idle)
	s.link = l
	if key.node == l.peer.Node || key.addr == l.remote.Underlay {
		l.whenOver(func() { in.forget(key, s) })
	} else if s.link = in.standIn(s, l, key); s.link != l {
		l.abort(flowset.ResetAborted, "there is a connection already")
	}
}

// standIn takes note that another one has answered the dial of s, on l. It returns
// the connection that s is to use: there may be one to that instance already.
func (in *instances) standIn(s *instance, l *link, asked instanceKey) *link {
	in.mu.Lock()
	s.until = time.Now().Add(standInFor)
	at := instanceKey{service: asked.service, node: l.peer.Node}
	if other := in.all[at]; other != nil {
		if k := other.dialled(); k != nil && !k.over() {
			in.mu.Unlock()
			return k
		}
	}
	its := &instance{ready: make(chan struct{}), link: l}
	close(its.ready)
	in.all[at] = its
	in.mu.Unlock()
	l.whenOver(func() {
		in.forget(at, its)
		in.forget(asked, s)
	})
	return l
}

// forget takes s out of the books, if it is still there.
func (in *instances) forget(key instanceKey, s *instance) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.all[key] == s {
		delete(in.all, key)
	}
}

// silent reports whether there is a connection to the instance on which nothing
// comes back, and whether that, or the contrary, is news. It is better to write
// to another one, if there is.
func (in *instances) silent(key instanceKey) (silent, news bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	s := in.all[key]
	if s == nil {
		return false, false
	}
	l := s.dialled()
	silent = l != nil && l.silent()
	news = silent != s.silent
	s.silent = silent
	return silent, news
}

// lastUsed is when the application last sent or was sent something.
func (l *link) lastUsed() flow.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.used
}

// over reports whether the connection has ended.
func (l *link) over() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gone
}

// silent reports whether no path of the connection works.
func (l *link) silent() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.working()
}
