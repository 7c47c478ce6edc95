package resolver

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/sal"
)

// Limits of a Directory.
const (
	MaxRecords        = 8192 // in all, some 8 MB
	MaxRecordsPerNode = 256
)

// Directory holds the records of a cluster in memory and resolves from them.
// What was withdrawn or has expired is remembered until no copy of it would be
// accepted any more, so that a late one does not bring it back. All methods are
// safe for concurrent use.
type Directory struct {
	cluster *identity.Cluster
	health  Health

	mu       sync.RWMutex
	services map[sal.Name]map[identity.NodeID]*held
	sums     map[[32]byte]struct{} // of every record held
	perNode  map[identity.NodeID]int
	watchers map[chan struct{}]struct{}
}

// held is a record, how long its instance is known and when it is forgotten.
type held struct {
	*Record
	live, until time.Time
	ended       bool // it is known that live has passed
}

func (h *held) isLive(now time.Time) bool { return !h.Withdrawn && now.Before(h.live) }

// NewDirectory returns an empty directory of the cluster.
func NewDirectory(cluster *identity.Cluster) *Directory {
	return &Directory{
		cluster:  cluster,
		services: make(map[sal.Name]map[identity.NodeID]*held),
		sums:     make(map[[32]byte]struct{}),
		perNode:  make(map[identity.NodeID]int),
		watchers: make(map[chan struct{}]struct{}),
	}
}

// ErrFull is what errors are that reject a record for want of room.
var ErrFull = errors.New("resolver: the directory is full")

// Add verifies a record and takes it in. It returns the record if it is news,
// nil if it is known already or older than what is known.
func (d *Directory) Add(raw []byte, now time.Time) (*Record, error) {
	sum := sha256.Sum256(raw)
	d.mu.RLock()
	_, known := d.sums[sum]
	d.mu.RUnlock()
	if known {
		return nil, nil // most of gossip is repetition; spare the signatures
	}
	r, err := ParseRecord(raw, d.cluster, now)
	if err != nil {
		return nil, err
	}
	news, err := d.add(r, sum, now)
	if !news {
		return nil, err
	}
	if !r.Withdrawn {
		d.health.Report(r.Instance(now), true, now) // it is alive enough to sign
	}
	d.notify()
	return r, nil
}

func (d *Directory) add(r *Record, sum [32]byte, now time.Time) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	old := d.services[r.Service][r.Node]
	switch {
	case old != nil && !r.supersedes(old.Record):
		return false, nil
	case old != nil:
		r.renews = old.isLive(now) && !r.Withdrawn && slices.Equal(old.Addrs, r.Addrs)
		d.remove(old)
	case len(d.sums) >= MaxRecords:
		return false, fmt.Errorf("%w: it holds %d records", ErrFull, MaxRecords)
	case d.perNode[r.Node] >= MaxRecordsPerNode:
		return false, fmt.Errorf("%w: node %s has %d records", ErrFull, r.Node.Short(), MaxRecordsPerNode)
	}
	// Clocks differ, so the TTL counts from when the record came, but not for
	// longer than one that comes now would be accepted.
	h := &held{Record: r, live: now.Add(r.TTL), until: r.Issued.Add(r.TTL + clockSkew), ended: r.Withdrawn}
	if h.until.Before(h.live) {
		h.live = h.until
	}
	if d.services[r.Service] == nil {
		d.services[r.Service] = make(map[identity.NodeID]*held)
	}
	d.services[r.Service][r.Node] = h
	d.sums[sum] = struct{}{}
	d.perNode[r.Node]++
	return true, nil
}

// remove forgets a record. The caller holds the lock.
func (d *Directory) remove(h *held) {
	delete(d.services[h.Service], h.Node)
	if len(d.services[h.Service]) == 0 {
		delete(d.services, h.Service)
	}
	delete(d.sums, sha256.Sum256(h.raw))
	if d.perNode[h.Node]--; d.perNode[h.Node] == 0 {
		delete(d.perNode, h.Node)
	}
}

// Expire forgets what is too old and returns when to call it next, the zero time
// if nothing is left that gets old.
func (d *Directory) Expire(now time.Time) (next time.Time) {
	ended := false
	d.mu.Lock()
	for _, nodes := range d.services {
		for _, h := range nodes {
			end := h.live
			if !h.ended && !now.Before(h.live) {
				h.ended, ended = true, true
			}
			if h.ended {
				end = h.until
			}
			switch {
			case !now.Before(h.until):
				d.remove(h)
			case next.IsZero() || end.Before(next):
				next = end
			}
		}
	}
	d.mu.Unlock()
	if ended {
		d.notify()
	}
	return next
}

// Resolve implements Resolver.
func (d *Directory) Resolve(_ context.Context, service sal.Name) ([]Instance, error) {
	now := time.Now()
	for _, name := range patterns(service) {
		if found := d.instances(name, now); len(found) > 0 {
			d.health.Sort(found, now)
			return found, nil
		}
	}
	return nil, &NoServiceError{service}
}

func (d *Directory) instances(name sal.Name, now time.Time) (found []Instance) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, h := range d.services[name] {
		if h.isLive(now) {
			found = append(found, h.Instance(h.live))
		}
	}
	return found
}

// Services implements Lister.
func (d *Directory) Services(context.Context) ([]Instance, error) {
	now := time.Now()
	d.mu.RLock()
	defer d.mu.RUnlock()
	var found []Instance
	for name, nodes := range d.services {
		if isNode(name) || isOwn(name) {
			continue
		}
		for _, h := range nodes {
			if h.isLive(now) {
				found = append(found, h.Instance(h.live))
			}
		}
	}
	return found, nil
}

// Records returns the records of live instances and withdrawals, as they
// travel. The caller must not change them.
func (d *Directory) Records() (all [][]byte) {
	now := time.Now()
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, nodes := range d.services {
		for _, h := range nodes {
			if h.Withdrawn || h.isLive(now) {
				all = append(all, h.raw)
			}
		}
	}
	return all
}

// Report implements Feedback.
func (d *Directory) Report(in Instance, ok bool) { d.health.Report(in, ok, time.Now()) }

// Publish implements Publisher.
func (d *Directory) Publish(_ context.Context, record []byte) error {
	_, err := d.Add(record, time.Now())
	return err
}

// Watch returns a channel that receives after every change, or once for several
// that are close together. Call stop when done.
func (d *Directory) Watch() (changed <-chan struct{}, stop func()) {
	c := make(chan struct{}, 1)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.watchers[c] = struct{}{}
	return c, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.watchers, c)
	}
}

func (d *Directory) notify() {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for c := range d.watchers {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}
