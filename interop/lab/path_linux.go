package lab

import (
	"errors"

	"github.com/serval-net/serval/interop/emu"
)

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
// says. Packets travel in offload bursts, as far as the sender makes such; with
// loss only up to the router, so that every packet is lost or not on its own.
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
	if err := errors.Join(router.Forward(), p.Client.DefaultVia(toClient.Addr()), p.Server.DefaultVia(toServer.Addr())); err != nil {
		return err
	}
	if path.Rate > 0 {
		if err := errors.Join(toClient.Limit(path.Rate, path.Queue), toServer.Limit(path.Rate, path.Queue)); err != nil {
			return err
		}
		p.Bottleneck = toClient
	}
	if path.Loss > 0 {
		if err := errors.Join(toClient.PerPacket(), p.ClientIface.Lose(path.Loss)); err != nil {
			return err
		}
	}
	if path.RTT > 0 {
		_, err = router.Emulate(toServer, emu.Config{Delay: path.RTT})
	}
	return err
}
