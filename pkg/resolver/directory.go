package resolver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math"
	"sync"
	"time"

	"github.com/serval-net/serval/internal/due"
	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/sal"
)

// MaxRecords and MaxRecordsPerNode are what a Directory holds unless SetLimits
// says something else.
const (
	MaxRecords        = 8192 // some 10 MB
	MaxRecordsPerNode = 256
)

// Limits bound a Directory. A record takes some 1,100 bytes of memory.
type Limits struct {
	// Records is how many there may be in all; 0 means MaxRecords.
	Records int

	// PerNode is how many of them may be of one node; 0 means MaxRecordsPerNode.
	PerNode int
}

// Directory holds the records of a cluster in memory and resolves from them.
// What was withdrawn or has expired is remembered until no copy of it would be
// accepted any more, so that a late one does not bring it back. Nothing that it
// does takes longer because it holds more, except to list them all. All methods
// are safe for concurrent use.
type Directory struct {
	cluster *identity.Cluster
	health  Health
	seed    maphash.Seed

	mu       sync.RWMutex
	limits   Limits
	services map[sal.Name]*held    // the first of the instances of each
	held     map[instanceKey]*held // every record
	known    map[uint64]*held      // every record, by a hash of its bytes
	perNode  map[identity.NodeID]int
	due      *due.Queue[*held]
	changes  changes
	watchers map[chan struct{}]bool // true for those that care for changes only
}

// NewDirectory returns an empty directory of the cluster.
func NewDirectory(cluster *identity.Cluster) *Directory {
	d := &Directory{
		cluster:  cluster,
		seed:     maphash.MakeSeed(),
		services: make(map[sal.Name]*held),
		held:     make(map[instanceKey]*held),
		known:    make(map[uint64]*held),
		perNode:  make(map[identity.NodeID]int),
		due:      due.New(func(h *held) *int { return &h.place }),
		watchers: make(map[chan struct{}]bool),
	}
	d.changes.init()
	d.SetLimits(Limits{})
	return d
}

// SetLimits sets other limits. What is held already stays, though it be more.
func (d *Directory) SetLimits(l Limits) {
	if l.Records <= 0 {
		l.Records = MaxRecords
	}
	if l.PerNode <= 0 {
		l.PerNode = MaxRecordsPerNode
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.limits = l
}

// Limits returns the limits in force.
func (d *Directory) Limits() Limits {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.limits
}

// ErrFull is what errors are that reject a record for want of room.
var ErrFull = errors.New("resolver: the directory is full")

// Add verifies a record and takes it in. It returns the record if it is news,
// nil if it is known already or older than what is known.
func (d *Directory) Add(raw []byte, now time.Time) (*Record, error) {
	sum := maphash.Bytes(d.seed, raw)
	if d.knows(raw, sum) {
		return nil, nil // most of gossip is repetition; spare the signatures
	}
	r, err := ParseRecord(raw, d.cluster, now)
	if err != nil {
		return nil, err
	}
	news, changed, err := d.add(r, sum, now)
	if !news {
		return nil, err
	}
	if !r.Withdrawn {
		d.health.Report(r.Instance(now), true, now) // it is alive enough to sign
	}
	d.notify(changed)
	return r, nil
}

func (d *Directory) knows(raw []byte, sum uint64) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	h := d.known[sum]
	return h != nil && bytes.Equal(h.raw, raw)
}

// add takes in a verified record. It reports whether it is news, and whether it
// changes more than that an instance is known for longer.
func (d *Directory) add(r *Record, sum uint64, now time.Time) (news, changed bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := d.held[instanceKey{r.Service, r.Node}]
	switch {
	case h != nil && !r.supersedes(h.Record) && !h.fromFuture(now):
		return false, false, nil
	case h != nil:
		r.renews = h.isLive(now) && !r.Withdrawn && r.renewsOf(h.Record)
		d.forgetSum(h)
	case len(d.held) >= d.limits.Records:
		return false, false, fmt.Errorf("%w: it holds %d records", ErrFull, len(d.held))
	case d.perNode[r.Node] >= d.limits.PerNode:
		return false, false, fmt.Errorf("%w: node %s has %d records", ErrFull, r.Node.Short(), d.perNode[r.Node])
	default:
		h = d.enter(r)
	}
	was, wasLive := h.Record, h.listed()
	h.take(r, sum, now)
	d.known[sum] = h
	d.due.Sooner(h, h.end(), now)
	changed = wasLive != h.listed() || h.listed() && (r.Load != was.Load || !r.renewsOf(was))
	if changed {
		d.changes.note(h)
	}
	return true, changed, nil
}

// Expire forgets what is too old and returns when to call it next, the zero time
// if nothing is left that gets old.
func (d *Directory) Expire(now time.Time) (next time.Time) {
	for more := true; more; {
		var ended bool
		ended, more, next = d.expire(now)
		if ended {
			d.notify(true)
		}
	}
	return next
}

const (
	// atOnce is how many records are looked at before others may have the lock.
	atOnce = 512

	// together is how long Expire lets what ends wait for what ends soon after.
	// Nothing depends on it: whoever resolves looks at the time.
	together = 10 * time.Millisecond
)

// expire deals with some records that are due.
func (d *Directory) expire(now time.Time) (ended, more bool, next time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for range atOnce {
		h, ok := d.due.Pop(now)
		if !ok {
			if next = d.due.Next(now); !next.IsZero() {
				next = next.Add(together)
			}
			return ended, false, next
		}
		if h.listed() && !now.Before(h.live) {
			h.ended, ended = true, true
			d.changes.note(h)
		}
		if !now.Before(h.until) {
			d.remove(h)
		} else {
			d.due.Set(h, h.end(), now) // it was renewed, or is remembered for some time
		}
	}
	return ended, true, next
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
	for h := d.services[name]; h != nil; h = h.nextHere {
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
	for _, h := range d.held {
		if h.isLive(now) && !isHidden(h.Service) {
			found = append(found, h.Instance(h.live))
		}
	}
	return found, nil
}

// Records returns the records of live instances and withdrawals, as they
// travel. The caller must not change them.
func (d *Directory) Records() [][]byte { return d.Some(math.MaxInt) }

// Some is Records, but returns no more than so many bytes of them: if there are
// more, others each time.
func (d *Directory) Some(bytes int) (some [][]byte) {
	now := time.Now()
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, h := range d.held { // which begins anywhere
		if !h.Withdrawn && !h.isLive(now) {
			continue
		}
		if bytes -= len(h.raw); bytes < 0 {
			break
		}
		some = append(some, h.raw)
	}
	return some
}

// Report implements Feedback.
func (d *Directory) Report(in Instance, ok bool) { d.health.Report(in, ok, time.Now()) }

// Publish implements Publisher.
func (d *Directory) Publish(_ context.Context, record []byte) error {
	_, err := d.Add(record, time.Now())
	return err
}
