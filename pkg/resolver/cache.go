package resolver

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/serval-net/serval/pkg/sal"
)

// DefaultCacheTTL is how long a Cache keeps an answer.
const DefaultCacheTTL = time.Second

const maxCached = 1024

// Cache keeps the answers of another resolver for a short time. It forgets an
// answer early when one of its instances is reported dead. Failures and nodes'
// own records are not kept.
type Cache struct {
	Resolver Resolver
	TTL      time.Duration // 0 means DefaultCacheTTL

	health Health
	mu     sync.Mutex
	kept   map[sal.Name]answer
}

type answer struct {
	found []Instance
	until time.Time
}

// Resolve implements Resolver.
func (c *Cache) Resolve(ctx context.Context, service sal.Name) ([]Instance, error) {
	if isNode(service) {
		return c.Resolver.Resolve(ctx, service) // who asks has lost the node: it has just moved
	}
	now := time.Now()
	if a, ok := c.get(service, now); ok {
		found := slices.Clone(a.found)
		c.health.Sort(found, now)
		return found, nil
	}
	found, err := c.Resolver.Resolve(ctx, service)
	if err != nil {
		return nil, err
	}
	a := answer{found: slices.Clone(found), until: now.Add(c.TTL)}
	if c.TTL == 0 {
		a.until = now.Add(DefaultCacheTTL)
	}
	for _, in := range found {
		if !in.Expires.IsZero() && in.Expires.Before(a.until) {
			a.until = in.Expires
		}
	}
	c.put(service, a)
	return found, nil
}

// Report implements Feedback.
func (c *Cache) Report(in Instance, ok bool) {
	c.health.Report(in, ok, time.Now())
	if !ok {
		c.forget(in.Service)
	}
	if f, wants := c.Resolver.(Feedback); wants {
		f.Report(in, ok)
	}
}

func (c *Cache) get(service sal.Name, now time.Time) (answer, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	a, ok := c.kept[service]
	return a, ok && now.Before(a.until)
}

func (c *Cache) put(service sal.Name, a answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept == nil || len(c.kept) >= maxCached {
		c.kept = make(map[sal.Name]answer)
	}
	c.kept[service] = a
}

// forget drops the answers that a registration for service may be part of.
func (c *Cache) forget(service sal.Name) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name := range c.kept {
		if service.Covers(name) {
			delete(c.kept, name)
		}
	}
}
