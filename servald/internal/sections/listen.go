package sections

import (
	"context"
	"net"

	"github.com/serval-net/serval/servald/internal/config"
	"github.com/serval-net/serval/servald/internal/door"
)

// listen listens at an address of the configuration. The socket of a servald that was
// killed is replaced.
func listen(ctx context.Context, l config.Listen) (net.Listener, error) {
	return door.Listen(ctx, l.Network, l.Address)
}

// explain says what to do about an address that cannot be listened at.
func explain(l config.Listen, err error) error { return door.Explain(l.String(), err) }
