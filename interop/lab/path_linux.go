package lab

import (
	"errors"
	"time"

	"github.com/serval-net/serval/interop/emu"
)

// Path describes a routed path between two hosts.
type Path struct {
	RTT   time.Duration // half of it added in each direction
	Rate  int64         // bits per second in each direction; 0 is unlimited
	Queue time.Duration // drop-tail queue before the limit
	Loss  float64       // probability per packet, from server to client only
	Seed  uint64        // for the loss
}

// Pair is two hosts, joined directly or by a router.
type Pair struct {
	*Net
	Client, Server *Host
	// ClientIface and ServerIface are the hosts' only interfaces.
	ClientIface, ServerIface *Iface
	// Bottleneck is where the router's queue towards the client stands; nil
	// without a limit.
	Bottleneck *Iface
}

// NewPair returns two hosts joined by one cable.
func NewPair() (*Pair, error) {
	return build(func(p *Pair) (err error) {
		p.ClientIface, p.ServerIface, err = p.Connect(p.Client, p.Server)
		return err
	})
}

// NewRouted returns two hosts with a router between them that behaves as path
// says. All packets on it are at most an MTU long.
func NewRouted(path Path) (*Pair, error) {
	if path.RTT > 0 || path.Loss > 0 {
		if err := NeedIptables(); err != nil {
			return nil, err
		}
	}
	return build(func(p *Pair) error { return p.route(path) })
}

func build(join func(*Pair) error) (*Pair, error) {
	n, err := New()
	if err != nil {
		return nil, err
	}
	p := &Pair{Net: n}
	if p.Client, err = n.Host("client"); err == nil {
		if p.Server, err = n.Host("server"); err == nil {
			err = join(p)
		}
	}
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return p, nil
}

func (p *Pair) route(path Path) error {
	router, err := p.Host("router")
	if err != nil {
		return err
	}
	var toClient, toServer *Iface
	if p.ClientIface, toClient, err = p.Connect(p.Client, router); err != nil {
		return err
	}
	if p.ServerIface, toServer, err = p.Connect(p.Server, router); err != nil {
		return err
	}
	for _, i := range []*Iface{p.ClientIface, p.ServerIface, toClient, toServer} {
		if err := i.PerPacket(); err != nil {
			return err
		}
	}
	if err := errors.Join(router.Forward(), p.Client.DefaultVia(toClient.Addr()), p.Server.DefaultVia(toServer.Addr())); err != nil {
		return err
	}
	if path.Rate > 0 {
		if err := errors.Join(toClient.Limit(path.Rate, path.Queue), toServer.Limit(path.Rate, path.Queue)); err != nil {
			return err
		}
		p.Bottleneck = toClient
	}
	if path.RTT == 0 && path.Loss == 0 {
		return nil
	}
	delay := emu.Config{Delay: path.RTT / 2, Seed: path.Seed}
	if _, err := router.Emulate(toClient, delay); err != nil {
		return err
	}
	delay.Loss = path.Loss
	_, err = router.Emulate(toServer, delay)
	return err
}
