package vaddr

import (
	"container/list"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
)

// Rest is how long an IPv4 address is kept for its service after its last use: for
// longer than caches and programs that ignore TTLs are known to keep it.
const Rest = 24 * time.Hour

// maxLearnt bounds the names that are known for their IPv6 addresses only.
const maxLearnt = 1 << 17

// ErrFull says that all IPv4 addresses of a Pool are in use. The service has its IPv6
// address nevertheless.
var ErrFull = errors.New("all virtual IPv4 addresses are in use: give servald a larger prefix, or use IPv6")

// Config describes a Pool. The zero value will do.
type Config struct {
	// V4 is where IPv4 addresses are from; zero means DefaultPrefix4. Services that
	// have an address outside of it from an earlier run get a new one.
	V4 netip.Prefix

	// Now is the clock; nil means time.Now. It should be monotonic, so that one
	// that is set does not let addresses rest for a shorter or longer time.
	Now func() time.Time

	Logger *slog.Logger // nil discards
}

// Pool hands out virtual addresses and knows whose they are. All methods are safe
// for concurrent use.
type Pool struct {
	prefix netip.Prefix
	now    func() time.Time
	log    *slog.Logger

	mu     sync.Mutex
	byName map[sal.Name]*entry
	byAddr map[netip.Addr]*entry
	given  list.List // entries with an IPv4 address that nobody holds, last used last
	learnt list.List // entries without one that nobody holds, last used last
	count  int       // of IPv4 addresses that are given
	file   *file     // nil if nothing is stored
}

// entry is a name with its addresses.
type entry struct {
	name   sal.Name
	v4     netip.Addr // zero if it has none
	v6     netip.Addr // zero if another name has the same
	used   time.Time
	held   int
	in     *list.List    // where it rests: given or learnt, nil while it is held
	place  *list.Element // there
	stored bool          // the file says that it is in use now, so that further uses need not be stored
}

// Open returns a Pool that remembers its IPv4 addresses in the file at path, which
// only one Pool can use at a time. If path is "", it forgets them. Lines of the file
// that make no sense are kept in a copy next to it, and left out.
//
// When the file can no longer be written, say because the disk is full, the Pool
// logs that and goes on: a service mostly gets the same address again anyway, since
// where the search for a free one starts depends on its name only.
func Open(path string, cfg Config) (*Pool, error) {
	p := &Pool{prefix: cfg.V4, now: cfg.Now, log: cfg.Logger,
		byName: make(map[sal.Name]*entry), byAddr: make(map[netip.Addr]*entry)}
	if p.prefix == (netip.Prefix{}) {
		p.prefix = DefaultPrefix4
	}
	if err := CheckPrefix4(p.prefix); err != nil {
		return nil, err
	}
	p.prefix = p.prefix.Masked()
	if p.now == nil {
		p.now = time.Now
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if path == "" {
		return p, nil
	}
	f, err := openFile(path, p.log)
	if err != nil {
		return nil, err
	}
	if err := f.load(p.restore); err != nil {
		f.close()
		return nil, err
	}
	p.file = f
	return p, nil
}

// Close stores what there is to store.
func (p *Pool) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file == nil {
		return nil
	}
	err := p.rewrite()
	p.file.close()
	p.file = nil
	return err
}

// Prefix4 returns the prefix that IPv4 addresses are from.
func (p *Pool) Prefix4() netip.Prefix { return p.prefix }

// Self returns the addresses of servald itself: the first of each prefix.
func (p *Pool) Self() (v4, v6 netip.Addr) { return at(p.prefix, 1), Self6 }

// Contains reports whether an address is virtual: in one of the two prefixes.
func (p *Pool) Contains(addr netip.Addr) bool {
	addr = addr.Unmap().WithZone("")
	return p.prefix.Contains(addr) || Prefix6.Contains(addr)
}

// Capacity returns how many IPv4 addresses there are, and how many are given.
func (p *Pool) Capacity() (all, given int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.usable(), p.count
}

// usable is how many addresses of the prefix are for services: not the first, which
// is the network's, the second, which is servald's, and the last, for broadcasts.
func (p *Pool) usable() int { return 1<<(32-p.prefix.Bits()) - 3 }

// Addrs returns the addresses of a service and counts as a use of them. The first
// time, it gives it an IPv4 address. If there is none left, the error is ErrFull, v4
// the zero Addr, and v6 good nevertheless. Of two services whose IPv6 addresses are
// the same by an accident that nobody will live to see, the second has none.
func (p *Pool) Addrs(name sal.Name) (v4, v6 netip.Addr, err error) {
	if name.IsZero() || name.IsWildcard() {
		return v4, v6, fmt.Errorf("%q is no service that can have an address", name)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.entry(name)
	if !e.v4.IsValid() {
		err = p.give(e)
	}
	p.use(e)
	return e.v4, e.v6, err
}

// Name returns the service whose address it is, and counts as a use. Both IPv4
// addresses and IPv6 addresses are known of services that have been asked for or
// learnt.
func (p *Pool) Name(addr netip.Addr) (sal.Name, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.byAddr[plain(addr)]
	if e == nil {
		return sal.Name{}, false
	}
	p.use(e)
	return e.name, true
}

// Hold keeps an address for its service until release is called, which may be done
// more than once. For an address that is nobody's it does nothing.
func (p *Pool) Hold(addr netip.Addr) (release func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.byAddr[plain(addr)]
	if e == nil {
		return func() {}
	}
	e.held++
	p.use(e)
	return sync.OnceFunc(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		e.held--
		p.use(e)
	})
}

// Learn makes the IPv6 address of a service known, which somebody else may have handed
// out. At most 131072 services are remembered that have been learnt only; those that
// were used longest ago are forgotten first.
func (p *Pool) Learn(name sal.Name) {
	if name.IsZero() || name.IsWildcard() {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byName[name] == nil {
		p.rest(p.entry(name))
	}
}

// Follow learns the services that a source tells of, until ctx ends, so that addresses
// that other hosts have handed out are known here.
func (p *Pool) Follow(ctx context.Context, from resolver.Follower) {
	for u := range from.Follow(ctx) {
		for i := range u.Changes {
			if c := &u.Changes[i]; !c.Gone {
				p.Learn(c.Service)
			}
		}
	}
}

// plain is an address as the Pool has it.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// entry returns the entry of a name and makes one if there is none.
func (p *Pool) entry(name sal.Name) *entry {
	if e := p.byName[name]; e != nil {
		return e
	}
	for p.learnt.Len() >= maxLearnt {
		p.forget(p.learnt.Front().Value.(*entry))
	}
	e := &entry{name: name, used: p.now()}
	if v6 := IPv6(name); p.byAddr[v6] == nil {
		e.v6 = v6
		p.byAddr[v6] = e
	}
	p.byName[name] = e
	return e
}

// forget drops an entry that nobody holds.
func (p *Pool) forget(e *entry) {
	p.unlist(e)
	delete(p.byName, e.name)
	if e.v6.IsValid() {
		delete(p.byAddr, e.v6)
	}
	if e.v4.IsValid() {
		delete(p.byAddr, e.v4)
		p.count--
	}
}

// use notes that an entry is in use now.
func (p *Pool) use(e *entry) {
	e.used = p.now()
	p.rest(e)
	if e.v4.IsValid() && !e.stored {
		p.append(e)
	}
}

// rest puts an entry at the end of the list it belongs to, or takes it out of any
// while it is held.
func (p *Pool) rest(e *entry) {
	p.unlist(e)
	if e.held > 0 {
		return
	}
	e.in = &p.learnt
	if e.v4.IsValid() {
		e.in = &p.given
	}
	e.place = e.in.PushBack(e)
}

func (p *Pool) unlist(e *entry) {
	if e.in != nil {
		e.in.Remove(e.place)
		e.in, e.place = nil, nil
	}
}

// give gives an entry an IPv4 address: the first that is free from where its name
// points to, else that which has rested for longest, if for long enough.
func (p *Pool) give(e *entry) error {
	all := uint32(p.usable())
	if p.count >= int(all) {
		front := p.given.Front()
		if front == nil {
			return ErrFull
		}
		old := front.Value.(*entry)
		if p.now().Sub(old.used) < Rest {
			return ErrFull
		}
		v4 := old.v4
		p.forget(old)
		p.assign(e, v4)
		return nil
	}
	id := e.name.ServiceID()
	sum := hash(id[:])
	for i := range all {
		v4 := at(p.prefix, 2+(sum%all+i)%all)
		if p.byAddr[v4] == nil {
			p.assign(e, v4)
			return nil
		}
	}
	return ErrFull
}

// hash says where in the prefix the search for an address starts.
func hash(id []byte) uint32 {
	// The ID is made of hashes already, one for each level.
	var sum uint32
	for ; len(id) >= 4; id = id[4:] {
		sum = sum*0x9E3779B1 + binary.BigEndian.Uint32(id)
	}
	return sum
}

func (p *Pool) assign(e *entry, v4 netip.Addr) {
	p.unlist(e) // it rests elsewhere from now on
	e.v4, e.stored = v4, false
	p.byAddr[v4] = e
	p.count++
}

// Has reports whether a service has an IPv4 address already. It does not count as a
// use.
func (p *Pool) Has(name sal.Name) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.byName[name]
	return e != nil && e.v4.IsValid()
}
