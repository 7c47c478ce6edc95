// Package scenario describes what happens to a network while programs use it, as
// a short text, applies it to a network of package lab, and records what came of
// it as a Timeline. A scenario reads like this; see Parse for all of it:
//
//	title  Interface failover
//	path a 100mbit 20ms
//	path b 100mbit 20ms
//	at 3s  down a
//	at 6s  up a
//	at 9s  blackhole b
//	end 12s
package scenario

import (
	"time"

	"github.com/serval-net/serval/interop/lab"
)

// Scenario is a network and what happens to it.
type Scenario struct {
	Title    string
	Topology lab.Topology
	// Options are for the programs under test, by name, such as their policy.
	Options map[string]string
	Events  []Event       // by time
	End     time.Duration // when it is over, after the start
}

// Event is something done at a time after the start.
type Event struct {
	At time.Duration
	Action
}

// Action is one operation on the network, or a word to a program. Which fields
// matter depends on the verb.
type Action struct {
	Verb Verb
	Path int  // the way's, or the interface's, from 0
	Host Host // whose interface

	Direction lab.Direction // Blackhole, Unblackhole
	To        int           // Move: the path to plug into
	Other     bool          // Swap: addresses of another network
	On        bool          // Firewall
	NAT       lab.NAT       // NAT
	Period    time.Duration // Flap
	Set       []Change      // Set
	Tell      string        // Tell: what to say, not empty
}

// Verb names an operation.
type Verb string

// The verbs. Those about interfaces take a host and a path, the others a path.
const (
	Down   Verb = "down"   // disable an interface
	Up     Verb = "up"     // enable it
	Cut    Verb = "cut"    // pull its cable
	Mend   Verb = "mend"   // plug it in again
	Remove Verb = "remove" // take its addresses away
	Add    Verb = "add"    // give them back
	Swap   Verb = "swap"   // replace them by others
	Move   Verb = "move"   // plug it into another path's router
	Flap   Verb = "flap"   // disable and enable it all the time
	Calm   Verb = "calm"   // end Flap, enabled

	Blackhole   Verb = "blackhole"   // drop packets silently
	Unblackhole Verb = "unblackhole" // end that
	Firewall    Verb = "firewall"    // drop UDP, or no longer
	Translate   Verb = "nat"         // NAT of a kind, or none
	Rebind      Verb = "rebind"      // make the NAT forget
	Set         Verb = "set"         // change rate, delay, loss, ...

	Tell Verb = "tell" // to the program on a host
)

// Host is an end of the network.
type Host string

// The ends.
const (
	Client Host = "client"
	Server Host = "server"
)

// Change is a new value for one property of a path. In text a rate and a delay
// stand alone, the others after their name.
type Change struct {
	What  string // "rate", "rtt", "queue", "loss", "jitter", "reorder", "duplicate", "nat"
	Rate  int64  // bits per second, of "rate"
	Time  time.Duration
	Share float64 // 0 to 1, of "loss", "reorder", "duplicate"
	NAT   lab.NAT // of "nat", not in Set
}

// apply makes the change; loss, as all else, for both directions.
func (c Change) apply(p *lab.Path) {
	switch c.What {
	case "rate":
		p.Rate = c.Rate
	case "rtt":
		p.RTT = c.Time
	case "queue":
		p.Queue = c.Time
	case "jitter":
		p.Jitter = c.Time
	case "loss":
		p.Loss, p.LossUp = c.Share, c.Share
	case "reorder":
		p.Reorder = c.Share
	case "duplicate":
		p.Duplicate = c.Share
	case "nat":
		p.NAT = c.NAT
	}
}

// DefaultQueue is the queue of a path with a rate that names none.
const DefaultQueue = 50 * time.Millisecond
