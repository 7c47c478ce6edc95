package dns

import (
	"context"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/serval"
)

// parentsFor is how long Parents believes what it has read.
const parentsFor = 2 * time.Second

// Parents returns a function for Config.Below that knows under which names a resolver
// has services, and a node rules; either may be nil. It reads all of them at most every
// two seconds, and only when somebody asks for a name that is no service.
func Parents(from resolver.Lister, rules *serval.Node) func(ctx context.Context, service sal.Name) bool {
	p := &parents{from: from}
	if rules != nil {
		p.rules = rules.Rules
	}
	return p.has
}

type parents struct {
	from    resolver.Lister
	rules   func() []serval.Rule
	reading sync.Mutex // by one at a time
	known   atomic.Pointer[families]
}

// families are names, without scheme, that have services below them.
type families struct {
	names map[string]struct{}
	read  time.Time
}

func (f *families) add(path string) {
	for i := strings.LastIndexByte(path, '/'); i > 0; i = strings.LastIndexByte(path, '/') {
		path = path[:i]
		f.names[path] = struct{}{}
	}
}

func (p *parents) has(ctx context.Context, service sal.Name) bool {
	f := p.known.Load()
	if f == nil {
		p.reading.Lock()
		if f = p.known.Load(); f == nil {
			f = p.read(ctx)
		}
		p.reading.Unlock()
	} else if time.Since(f.read) > parentsFor && p.reading.TryLock() {
		f = p.read(ctx)
		p.reading.Unlock()
	}
	_, ok := f.names[service.Path()]
	return ok
}

func (p *parents) read(ctx context.Context) *families {
	f := &families{make(map[string]struct{}), time.Now()}
	if p.from != nil {
		all, err := p.from.Services(ctx)
		if old := p.known.Load(); err != nil && old != nil {
			f.names = maps.Clone(old.names)
		}
		for _, in := range all {
			f.add(in.Service.Path())
		}
	}
	if p.rules != nil {
		for _, r := range p.rules() {
			if name, err := sal.ParseName(r.Service); err == nil {
				f.add(name.Path())
			}
		}
	}
	p.known.Store(f)
	return f
}
