// Package peer has the transports that the benchmark compares, each behind
// load.Transport, set up as its own users would for speed.
package peer

import "github.com/serval-net/serval/interop/bench/load"

// Systems returns all transports of this package by name. wireguard-go is not
// among them: it needs an older gVisor and so is a program of its own.
func Systems() map[string]load.Transport {
	return map[string]load.Transport{
		"serval":     &servalNode{},
		GossipSystem: &gossipNode{},
		"tcp-cubic":  tcp{"cubic"},
		"tcp-bbr":    tcp{"bbr"},
		"tls":        tlsTCP{tcp{"cubic"}},
		"quic-go":    &quicGo{},
	}
}
