package resolver

import (
	"bytes"
	"cmp"
	"fmt"
	"time"

	"github.com/serval-net/serval/pkg/identity"
)

// Standing is how an instance fared when it was asked lately.
type Standing uint8

const (
	// Well: nothing speaks against it.
	Well Standing = iota
	// Trial: it was ejected, and may now try whether it answers again.
	Trial
	// Busy: it said that it is full, or has just declined.
	Busy
	// Ejected: it did not answer.
	Ejected
)

var standings = [...]string{"well", "trial", "busy", "ejected"}

// String returns "well", "trial", "busy" or "ejected".
func (s Standing) String() string {
	if int(s) < len(standings) {
		return standings[s]
	}
	return fmt.Sprintf("standing(%d)", uint8(s))
}

// MarshalText returns what String does.
func (s Standing) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Exclusion is why a candidate is none.
type Exclusion uint8

const (
	Included    Exclusion = iota
	NotAsked              // another instance is wanted
	NotOwner              // its Keys do not have the key
	Unreachable           // none of its addresses can be reached from this host
)

// Verdict is a candidate's place in an order, and why it has it.
type Verdict struct {
	Candidate

	Excluded Exclusion // not Included: it must not be asked at all
	Pardoned bool      // it is ejected, but so are too many
	Rather   bool      // it comes first because it was wished to
	KeyBits  int       // length of the prefix by which it owns the key; 0 for all
	Balance  Balance   // by which its group was put in order: never BalanceDefault
	Score    float64   // least first, in its group: see Reason

	fit  int // how closely what names it fits the name dialled
	lead bool
	tier int
}

// The classes of candidates, in the order to ask them in.
const (
	ready = iota
	full
	out
)

func (v *Verdict) class() int {
	switch {
	case v.Standing == Ejected && !v.Pardoned:
		return out
	case v.Standing == Busy:
		return full
	}
	return ready
}

// Last reports whether to ask it only after all addresses of all others.
func (v *Verdict) Last() bool { return v.class() == out }

// later reports, as a number, whether it should come behind others of its class.
func (v *Verdict) later() int {
	if v.Standing == Trial {
		return 1
	}
	return 0
}

// compareGroup orders groups, the better first.
func (v *Verdict) compareGroup(o *Verdict) int {
	return cmp.Or(cmp.Compare(o.fit, v.fit), cmp.Compare(o.Priority, v.Priority))
}

func (v *Verdict) compare(o *Verdict) int {
	if c := cmp.Compare(v.class(), o.class()); c != 0 {
		return c
	}
	if v.class() == ready && v.lead != o.lead {
		if v.lead {
			return -1
		}
		return 1
	}
	if c := cmp.Or(v.compareGroup(o), cmp.Compare(v.tier, o.tier), cmp.Compare(v.Score, o.Score)); c != 0 {
		return c
	}
	return bytes.Compare(v.Node[:], o.Node[:])
}

// Reason says in words what decided on its place.
func (v *Verdict) Reason() string {
	switch {
	case v.Excluded == NotAsked:
		return "another instance is wanted"
	case v.Excluded == NotOwner:
		return "it does not own the key"
	case v.Excluded == Unreachable:
		return "this host has no interface from which to reach its addresses"
	case v.Rather:
		return "the last dial had it too, and it answers"
	case v.Pardoned:
		return "it did not answer lately, but too many others did not either"
	case v.Standing == Ejected && v.Until.IsZero():
		return "it does not answer others"
	case v.Standing == Ejected:
		return "it did not answer; one dial may try again from " + clock(v.Until)
	case v.Standing == Busy && v.Until.IsZero():
		return fmt.Sprintf("it says that it is full: load %.2f", v.Load)
	case v.Standing == Busy:
		return "it declined; to be asked again from " + clock(v.Until)
	case v.Standing == Trial:
		return "it did not answer, and may now show whether it does again"
	}
	return v.balanced()
}

func clock(t time.Time) string { return t.Format("15:04:05") }

// balanced says how the Balance placed it.
func (v *Verdict) balanced() string {
	weight := max(v.Weight, 1)
	switch v.Balance {
	case BalanceLeastLoad:
		return fmt.Sprintf("of two drawn by weight, the less loaded: load %.2f, weight %d", v.Load, weight)
	case BalanceNearest:
		switch {
		case v.RTT == 0 && v.tier < 0:
			return "nothing was measured to it yet: its turn"
		case v.RTT == 0:
			return "nothing was measured to it yet"
		case v.tier == 0:
			return fmt.Sprintf("as near as the nearest: round trip %v, weight %d", v.RTT.Round(10*time.Microsecond), weight)
		}
		return fmt.Sprintf("farther than the nearest: round trip %v", v.RTT.Round(10*time.Microsecond))
	case BalanceHash:
		if v.KeyBits > 0 {
			return fmt.Sprintf("it owns the key, by %d bits; hash of key and instance, weight %d", v.KeyBits, weight)
		}
		return fmt.Sprintf("hash of key and instance, weight %d", weight)
	}
	return fmt.Sprintf("drawn by weight %d", weight)
}

// named reports whether the candidate's node is known.
func (v *Verdict) named() bool { return v.Node != identity.NodeID{} }
