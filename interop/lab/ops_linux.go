package lab

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// LinkDown disables the interface, as its own host's operator would: its routes
// go, and its IPv6 addresses.
func (i *Iface) LinkDown() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.down = true
	return i.explain("disable", i.host.nl.LinkSetDown(i.link))
}

// LinkUp enables the interface again, with all it had.
func (i *Iface) LinkUp() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.down = false
	return i.apply()
}

// Carrier pulls the cable at the far end or plugs it in again. The interface
// keeps its addresses and routes, as by default in Linux.
func (i *Iface) Carrier(on bool) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.far.mu.Lock()
	defer i.far.mu.Unlock()
	if !on {
		return i.far.explain("disable", i.far.host.nl.LinkSetDown(i.far.link))
	}
	if err := i.far.apply(); err != nil || i.down {
		return err
	}
	return i.apply()
}

// AddrRemove takes the interface's addresses away, and so its routes.
func (i *Iface) AddrRemove() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.bare = true
	return i.removeAddrs()
}

// AddrAdd gives the interface its addresses back.
func (i *Iface) AddrAdd() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.bare = false
	return i.apply()
}

// AddrSwap replaces the addresses of an interface of Paths by others, of the same
// networks or of new ones, to which its router moves as well.
func (i *Iface) AddrSwap(newNetwork bool) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.way == nil {
		return i.explain("swap the address", errors.New("it is not at a path"))
	}
	host, subnet := i.hostPart+1, i.subnet
	if newNetwork {
		host, subnet = 2, i.subnet+1
	}
	if host > 250 || subnet > 24 {
		return i.explain("swap the address", errors.New("there are no more addresses"))
	}
	return i.settle(i.way, host, subnet, nil)
}

// Plug pulls the cable of an interface out of its router and plugs it into
// another path's, where it gets new addresses: a client that roams, or a server
// that is moved. Both take a network with Topology.Joined. The other router must
// not have an interface of that host.
func (i *Iface) Plug(w *Way) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.way == nil {
		return i.explain("plug", errors.New("it is not at a path"))
	}
	if i.way == w {
		return nil
	}
	far := i.far
	i.way.mu.Lock() // never after far.mu: see SetPath
	i.way.ports = slices.DeleteFunc(i.way.ports, func(port *Iface) bool { return port == far })
	i.way.mu.Unlock()
	return i.settle(w, i.hostPart, 0, func() error {
		if err := far.host.nl.LinkSetNsFd(far.link, int(w.Router.ns)); err != nil {
			return far.explain("plug", err)
		}
		far.host = w.Router
		var err error
		if far.link, err = far.host.nl.LinkByName(far.name); err != nil {
			return far.explain("find", err)
		}
		return far.tune()
	})
}

// settle takes all addresses and routes from both ends of the cable, does what
// has to be done then, and configures both for a place at w.
func (i *Iface) settle(w *Way, host, subnet byte, between func() error) error {
	far := i.far
	far.mu.Lock()
	if err := errors.Join(i.removeRules(), i.removeAddrs(), far.removeAddrs()); err != nil {
		far.mu.Unlock()
		return err
	}
	if between != nil {
		if err := between(); err != nil {
			far.mu.Unlock()
			return err
		}
	}
	near, router := w.configs(i.port, host, subnet)
	near.table, near.metric = i.config.table, i.config.metric
	if router.beyond = far.config.beyond; len(router.beyond) > 0 {
		for _, p := range near.addrs {
			router.gateways = append(router.gateways, p.Addr())
		}
	}
	i.config, far.config = near, router
	i.way, i.hostPart, i.subnet, i.bare = w, host, subnet, false
	err := far.apply()
	far.mu.Unlock()
	if err == nil && !i.down {
		err = i.apply()
	}
	if err != nil || between == nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ports = append(w.ports, far)
	return far.Limit(w.path.Rate, w.path.Queue)
}

// Flap disables and enables the interface in turn, each for half a period, until
// stop is called, which leaves it enabled, or the network closed.
func (n *Net) Flap(i *Iface, period time.Duration) (stop func() error) {
	end, ended := make(chan struct{}), make(chan error, 1)
	n.work.Go(func() {
		defer close(ended)
		tick := time.NewTicker(max(period/2, time.Millisecond))
		defer tick.Stop()
		for down := true; ; down = !down {
			err := i.set(!down)
			if err != nil {
				ended <- fmt.Errorf("flap: %w", err)
				return
			}
			select {
			case <-tick.C:
			case <-end:
				if down {
					ended <- i.LinkUp()
				}
				return
			case <-i.host.ctx.Done():
				return
			}
		}
	})
	return sync.OnceValue(func() error {
		close(end)
		return <-ended
	})
}

func (i *Iface) set(up bool) error {
	if up {
		return i.LinkUp()
	}
	return i.LinkDown()
}
