package lab

import "time"

// Path describes a routed path between two hosts. NewRouted knows only the first
// four fields.
type Path struct {
	// RTT is added to the round trip. NewPaths adds half of it each way;
	// NewRouted all of it from server to client: a single path's transport cannot
	// tell, and that direction's offload bursts are cheap to delay.
	RTT   time.Duration
	Rate  int64         // bits per second in each direction; 0 is unlimited
	Queue time.Duration // drop-tail queue before the limit, in each direction
	Loss  float64       // probability for each packet that reaches the client

	// LossUp is the probability that a packet to the server is lost.
	LossUp float64
	// Jitter is how much the delay varies at most, up and down, each way. It is
	// cut to half of RTT, and does not reorder.
	Jitter time.Duration
	// Reorder is the probability, each way, that a packet is not delayed at all.
	Reorder float64
	// Duplicate is the probability, each way, that a packet arrives twice.
	Duplicate float64
	// NAT is what the router has at the start; see Way.SetNAT.
	NAT NAT
}

// Family says which addresses a network has.
type Family int

// The zero Family is IPv4.
const (
	IPv4 Family = iota
	IPv6
	Dual // both
)

// Topology describes a network of several paths between a client and a server,
// for NewPaths. Each path has a router of its own:
//
//	        ┌ eth1 ─ router a ─ eth1 ┐
//	client ─┤                        ├─ server
//	        └ eth2 ─ router b ─ eth2 ┘
//
// The routers do not know each other, so an address at one path is reached over
// that path only, unless Joined. Path number i, from 1, has the networks
// 10.i.1.0/24 and fd00:i:1::/64 at the client's side, 10.i.2.0/24 and
// fd00:i:2::/64 at the server's; the router is .1 in each.
type Topology struct {
	Paths  []Path
	Family Family

	// Client and Server number the paths, from 0, at which the host has an
	// interface; nil is all. With Joined, Iface.Plug moves interfaces to others.
	Client, Server []int

	// Third adds a host named third, with one address, reachable from every path.
	Third bool
	// Joined makes the third host, which it adds, forward packets between the
	// routers, as the Internet does: every address is reached from every path.
	Joined bool

	// ServerLo gives the server one more address, on its loopback interface, that
	// is reachable over every path it has an interface at.
	ServerLo bool

	// Metrics gives each host default routes with different metrics, the first
	// path first, and nothing else. Without it each address has a source rule
	// and a routing table of its own besides, with no way out when its interface
	// is down. It implies Joined: the routes know nothing of paths.
	Metrics bool
}

// Direction says which packets of a path are meant.
type Direction int

// The zero Direction is both.
const (
	BothWays Direction = iota
	ToClient
	ToServer
)

// NAT is a kind of address translation.
type NAT int

// The kinds. Both let in only what answers something sent from inside to the same
// address and port.
const (
	NoNAT        NAT = iota
	PortKeeping      // one mapping per socket, on the port it has itself where that is free
	SymmetricNAT     // a random port for each destination
)
