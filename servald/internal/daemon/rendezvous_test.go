package daemon

import (
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/resolver/control"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/serval"
)

// A daemon is a rendezvous, and known as one, unless it is told not to.
func TestRendezvousIsRegistered(t *testing.T) {
	for _, off := range []bool{false, true} {
		cfg := newConfig(t, newToken(t))
		cfg.NoRendezvous = off
		start(t, cfg)
		client := control.NewClient(cfg.Socket)
		defer client.Close()
		name := sal.MustParseName(serval.RendezvousService)
		found := false
		for end := time.Now().Add(2 * time.Second); !found && !off && time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
			in, err := client.Resolve(t.Context(), name)
			found = err == nil && len(in) == 1 && in[0].Node == cfg.Identity.Node() && len(in[0].Addrs) == 1
		}
		if found == off {
			t.Errorf("off %v: found %v", off, found)
		}
	}
}
