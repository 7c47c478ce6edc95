package sections

import (
	"context"
	"errors"
	"log/slog"
	"sync"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/servald/internal/config"
	"github.com/serval-net/serval/servald/internal/vaddr"
)

// pool is the virtual addresses of all sections: opened when the first needs them.
type pool struct {
	mu     sync.Mutex
	file   string
	cfg    vaddr.Config
	open   *vaddr.Pool
	closed bool
	learns func() // ends what learns for open, and waits
}

// configure says where the addresses come from, until the first section needs one.
func (p *pool) configure(a config.Addresses, env Env) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.file = a.File; p.file == "" {
		p.file = env.Addresses
	}
	p.cfg = vaddr.Config{V4: a.IPv4, Logger: env.Log}
}

// get returns the addresses. They stay open for those who come later, and learn those
// that other hosts may have handed out for services.
func (p *pool) get(services resolver.Lister) (*vaddr.Pool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, errors.New("servald is stopping")
	}
	if p.open == nil {
		open, err := vaddr.Open(p.file, p.cfg)
		if err != nil {
			return nil, err
		}
		p.open, p.learns = open, func() {}
		if all, ok := services.(resolver.Follower); ok {
			ctx, cancel := context.WithCancel(context.Background())
			var following sync.WaitGroup
			following.Go(func() { open.Follow(ctx, all) })
			p.learns = func() {
				cancel()
				following.Wait()
			}
		}
	}
	return p.open, nil
}

func (p *pool) close(log *slog.Logger) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.open == nil {
		return
	}
	p.learns()
	if err := p.open.Close(); err != nil {
		log.Warn("the virtual addresses are not remembered", "file", p.file, "err", err)
	}
	p.open = nil
}
