// Package nodectl lets a person see and steer the connections of every process
// of a host that uses Serval. Each node opens a small control socket, mode 0600,
// in one directory of mode 0700; servald flows, migrate, drain, monitor, paths
// and policy ask all of them. No daemon takes part. It is JSON over HTTP over a
// Unix socket, so that curl is a client too:
//
//	curl --unix-socket $DIR/nodes/4711-k5x2mq.sock http://serval/v1/conns
//
//	GET  /v1/node      which process it is
//	GET  /v1/conns     its connections and their flows
//	GET  /v1/paths     its pairs of addresses
//	GET  /v1/events    what happens, a line each, until the client goes
//	POST /v1/migrate   move flows
//	POST /v1/policy    change how connections use their flows
//	POST /v1/drain     move all flows off an interface or address; lines that
//	                   say how many are left, until none is
//	POST /v1/undrain   use it again
//	GET  /v1/rules     its rules for dials and first packets
//	POST /v1/rules     add one
//	POST /v1/rules/remove
//	                   remove some
//	GET  /v1/routes    its service table, with ?service=svc:web what that meets
//	GET  /v1/listeners the instances of services that it is
//	POST /v1/listeners change their weights and the like
//	POST /v1/listeners/drain
//	                   withdraw some and wait until they have no connections
//	POST /v1/listeners/undrain
//	                   register them again
//	POST /v1/why       what a dial would do now
//
// An error is an object with a text "error".
package nodectl

import (
	"context"
	"net/netip"
	"time"
)

// Node is what a server shows and steers. Its methods are called concurrently,
// and with a context that ends when the client goes. Errors are shown to the
// person who asked.
type Node interface {
	Ruled
	Served
	Explaining

	// Conns returns a snapshot.
	Conns() []Conn

	// Paths returns a snapshot: one for each pair of addresses in use.
	Paths() []Path

	// Migrate moves the selected flows and returns once the peer has agreed to
	// each new path, with how many were moved. Flows that are there already do
	// not count. Nothing selected is no error: another process may have it.
	Migrate(ctx context.Context, s Selection, to Target) (moved int, err error)

	// SetPolicy changes the policy of the selected connections, to one that
	// CheckPolicy accepts, and returns of how many.
	SetPolicy(s Selection, policy string) (changed int, err error)

	// Drain makes new flows avoid an interface or a local address, moves the
	// live ones off, and returns when none is left. progress is called at
	// first and whenever the number changes, never concurrently and with no
	// lock held. If ctx ends before, flows that have not moved stay, and new
	// ones avoid it still, until Undrain. An interface or address that the node
	// does not have drains at once; it is avoided should it appear.
	Drain(ctx context.Context, what string, progress func(left int)) error

	// Undrain lets flows use an interface or address again. It is no error if
	// it was not drained.
	Undrain(what string) error

	// Events returns what happens from now on; it is closed when ctx ends or
	// the node is closed. A receiver that lags misses events.
	Events(ctx context.Context) <-chan Event
}

// Info says which node answers. The server fills in all but Node and Name.
type Info struct {
	Node    string    `json:"node"`           // identifier
	Name    string    `json:"name,omitempty"` // of the node, for people
	PID     int       `json:"pid"`
	Program string    `json:"program"`
	Started time.Time `json:"started"` // the server
}

// Conn is a connection.
type Conn struct {
	// ID names the connection among all of the host: 4 to 32 characters of a-z
	// and 0-9 that stay the same, and differ at the two ends of one connection.
	ID      string `json:"id"`
	Service string `json:"service"`
	Peer    Peer   `json:"peer"`
	Dialled bool   `json:"dialled"` // by this node; else it was accepted
	Policy  string `json:"policy"`  // as CheckPolicy accepts

	Age            Duration `json:"age_s"`
	StreamSent     uint64   `json:"stream_sent"` // bytes of the application
	StreamReceived uint64   `json:"stream_received"`
	LongestStall   Duration `json:"longest_stall_s"` // with data outstanding

	Flows []Flow `json:"flows"`
}

// Peer is the node at the other end.
type Peer struct {
	Node string `json:"node"`
	Name string `json:"name,omitempty"`
}

// NeverCost is the Cost of a flow that takes no data.
const NeverCost = 255

// Flow is one path of a connection.
type Flow struct {
	Index     uint8          `json:"index"` // in the connection
	State     string         `json:"state"` // "pending", "active", "suspect", "down", "parked"
	Local     netip.AddrPort `json:"local"`
	Remote    netip.AddrPort `json:"remote"`
	Interface string         `json:"interface,omitempty"` // that has the local address

	RTT      Duration `json:"rtt_s"`
	MinRTT   Duration `json:"min_rtt_s"`
	Loss     float64  `json:"loss"`             // part of the packets, 0 to 1
	Rate     float64  `json:"bytes_per_second"` // estimate of what the path delivers
	Cwnd     int      `json:"cwnd"`             // bytes
	InFlight int      `json:"in_flight"`        // bytes
	MTU      int      `json:"mtu"`              // bytes of UDP payload
	Cost     uint8    `json:"cost"`             // the higher of both ends'

	BytesSent     uint64   `json:"bytes_sent"` // UDP payload
	BytesReceived uint64   `json:"bytes_received"`
	Age           Duration `json:"age_s"`
	Moves         uint64   `json:"moves"` // of either end
}

// Path is a pair of addresses that flows use, or could.
type Path struct {
	Interface string     `json:"interface,omitempty"`
	Local     netip.Addr `json:"local"`
	Remote    netip.Addr `json:"remote"`
	Flows     int        `json:"flows"`
	RTT       Duration   `json:"rtt_s"` // least of its flows
	Loss      float64    `json:"loss"`
	Rate      float64    `json:"bytes_per_second"` // of all its flows
	State     string     `json:"state"`            // best of its flows, or "drained"
}

// Kinds of events.
const (
	FlowUp   = "flow up"  // validated for the first time, or works again
	Suspect  = "suspect"  // silent with data outstanding
	Down     = "down"     // given up for now
	Migrated = "migrated" // moved From one pair of addresses To another
	Resumed  = "resumed"  // data flows again after all flows were silent
	Joined   = "joined"   // added to the connection
	Closed   = "closed"   // the connection ended
)

// Event is something that happened to a connection or one of its flows.
type Event struct {
	Time    time.Time `json:"time"`
	Node    string    `json:"node"`
	Conn    string    `json:"conn"`
	Service string    `json:"service"`
	Flow    *uint8    `json:"flow,omitempty"` // nil if it concerns the connection
	Kind    string    `json:"kind"`
	Detail  string    `json:"detail,omitempty"` // for people
	From    string    `json:"from,omitempty"`   // such as "eth0 10.0.0.1:4242 > 10.0.1.1:7001"
	To      string    `json:"to,omitempty"`
}
