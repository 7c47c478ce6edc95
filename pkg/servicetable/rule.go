package servicetable

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/serval-net/serval/pkg/sal"
)

// Action says what a rule does with a packet.
type Action uint8

const (
	Forward Action = iota + 1 // send it on to the target, a node elsewhere
	Demux                     // hand it to the target, a listener here
	Delay                     // hold it until someone has found out where it goes
	Drop                      // refuse it
)

// String returns the name of the action, such as "FORWARD".
func (a Action) String() string {
	switch a {
	case Forward:
		return "FORWARD"
	case Demux:
		return "DEMUX"
	case Delay:
		return "DELAY"
	case Drop:
		return "DROP"
	}
	return fmt.Sprintf("Action(%d)", uint8(a))
}

// MarshalText returns what String does.
func (a Action) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// Rule says what to do with packets for the services in a prefix. A rule is
// itself, not its value: two rules with equal fields are two rules.
type Rule[T any] struct {
	// Prefix is the services it is for; Name.Prefix gives that of a name.
	Prefix sal.Prefix

	Action Action

	// Priority orders the rules of one prefix; the largest come first.
	Priority int

	// Weight is the share of packets among rules of one prefix and priority.
	// 0 means 1.
	Weight uint32

	// Target is where Forward and Demux send the packet.
	Target T

	// Expires is when Table.Expire removes the rule, unless Table.Renew gives it
	// longer; the zero time is never. A rule that expires may be in one table only.
	Expires time.Time

	packets, bytes atomic.Uint64
	renewed        atomic.Pointer[time.Time]
	place          int // among what expires; guarded by the table
}

// Until returns when the rule expires, as it was added or renewed last; the zero
// time is never.
func (r *Rule[T]) Until() time.Time {
	if until := r.renewed.Load(); until != nil {
		return *until
	}
	return r.Expires
}

// Count notes that a packet of n bytes went by this rule.
func (r *Rule[T]) Count(n int) {
	r.packets.Add(1)
	r.bytes.Add(uint64(n))
}

// Counted returns the packets and bytes counted so far.
func (r *Rule[T]) Counted() (packets, bytes uint64) {
	return r.packets.Load(), r.bytes.Load()
}

func (r *Rule[T]) weight() uint64 { return max(uint64(r.Weight), 1) }

func (r *Rule[T]) check() error {
	if r.Action < Forward || r.Action > Drop {
		return fmt.Errorf("servicetable: a rule for %v has the action %d; use Forward, Demux, Delay or Drop", r.Prefix, r.Action)
	}
	if r.Prefix.Bits >= allBits {
		return fmt.Errorf("servicetable: a rule has a prefix of %d bits; service IDs have 256", r.Prefix.Bits)
	}
	return nil
}
