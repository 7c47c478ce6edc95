package sections

import (
	"sync/atomic"

	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/servald/internal/config"
	"github.com/serval-net/serval/servald/internal/dns"
)

// hints is what the rules for names say to DNS. All of its methods are safe for
// concurrent use.
type hints struct {
	rules atomic.Pointer[[]config.Rule]
}

func (h *hints) configure(rules []config.Rule) { h.rules.Store(&rules) }

// of returns what there is to say of a service: of each kind, what the first rule says
// that fits it and says something.
func (h *hints) of(service sal.Name) (out dns.Hints) {
	rules := h.rules.Load()
	if rules == nil {
		return out
	}
	for i := range *rules {
		r := &(*rules)[i]
		if !r.Match.Covers(service) {
			continue
		}
		if out.Port == 0 {
			out.Port = r.Port
		}
		if out.ALPN == nil {
			out.ALPN = r.ALPN
		}
		if out.Addrs == nil {
			out.Addrs = r.Addresses
		}
	}
	return out
}
