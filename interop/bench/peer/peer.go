// Package peer has the transports that the benchmark compares, each behind
// work.Transport, set up as its own users would for speed.
package peer

import "github.com/serval-net/serval/interop/bench/work"

// Systems returns all transports of this package by name. wireguard-go is not
// among them: it needs an older gVisor and so is a program of its own.
func Systems() map[string]work.Transport {
	return map[string]work.Transport{
		"serval":     &servalNode{},
		GossipSystem: &gossipNode{},
		"tcp-cubic":  tcp{"cubic"},
		"tcp-bbr":    tcp{"bbr"},
		"tls":        tlsTCP{tcp{"cubic"}},
		"quic-go":    &quicGo{},
	}
}
