package cli

import (
	"context"
	"errors"
	"log/slog"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/resolver/control"
	"github.com/serval-net/serval/servald/internal/vaddr"
)

// openAddresses returns virtual addresses of this process, which nothing remembers. The
// IPv6 ones, which are the same on every host, are known for all services that a running
// servald knows. That is returned, too; nil if none runs.
func openAddresses(log *slog.Logger) (pool *vaddr.Pool, daemon resolver.Lister, end func() error, err error) {
	pool, err = vaddr.Open("", vaddr.Config{Logger: log})
	if err != nil {
		return nil, nil, nil, err
	}
	path, running := control.FindSocket()
	if !running {
		return pool, nil, pool.Close, nil
	}
	c := control.NewClient(path)
	stop := inBackground(func(ctx context.Context) { pool.Follow(ctx, c) })
	return pool, c, func() error { return errors.Join(stop(), c.Close(), pool.Close()) }, nil
}
