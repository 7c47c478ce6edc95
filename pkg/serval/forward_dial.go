package serval

import "net/netip"

// askedFor returns whom the dial asked, when an answer came from an address: that
// one, or the router through which the SYN went on. The router's address is as the
// next hop saw it, so a host with several may be known here by another.
func (a *attempt) askedFor(from, router netip.AddrPort) netip.AddrPort {
	if a.asked[from] != nil || !router.IsValid() {
		return from
	}
	if a.asked[router] != nil {
		return router
	}
	for addr := range a.asked {
		if len(a.asked) == 1 || addr.Addr() == router.Addr() {
			return addr
		}
	}
	return from
}

// elsewhere takes a refusal of an instance that a router chose. Whoever was asked
// is asked again, with that instance to be avoided. It reports whether to do so at
// once.
func (a *attempt) elsewhere(from netip.AddrPort, err error) bool {
	if a.asked[from] != nil || !a.init.Avoid(from) {
		return false
	}
	a.last = err
	return a.anyLeft()
}
