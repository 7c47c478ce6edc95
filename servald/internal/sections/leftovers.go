package sections

import (
	"context"
	"log/slog"

	"github.com/serval-net/serval/servald/internal/capture"
	"github.com/serval-net/serval/servald/internal/resolvconf"
)

// leftovers puts back what a servald that was killed has left on this host, whatever the
// configuration says now. What belongs to one that runs stays. It does nothing where
// nothing is left.
func leftovers(ctx context.Context, log *slog.Logger) {
	if err := resolvconf.Recover("", log); err != nil {
		log.Error("the host's DNS settings are still those that a servald made that was killed", "err", err)
	}
	if err := capture.Sweep(ctx); err != nil {
		log.Error("rules for packets are left of a servald that was killed", "err", err)
	}
}
