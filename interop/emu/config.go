// Package emu delays, drops and reorders the packets of a real network path,
// for kernels without netem.
//
// An iptables rule sends the packets of one direction to an NFQUEUE; the
// emulator is told of each packet, never sees or copies its payload (but to
// duplicate it), and gives the verdict when the packet is due. That keeps the cost of a packet at about
// a microsecond, so a gigabit link fits beside the programs under test.
package emu

import (
	"fmt"
	"time"
)

// DefaultLimit is the number of packets a queue holds when Config.Limit is 0.
const DefaultLimit = 100_000

// Config says what happens to the packets of one direction. The zero value
// passes every packet on at once, in order.
type Config struct {
	// Delay is how long each packet is held.
	Delay time.Duration
	// Jitter is the largest deviation from Delay, uniform on both sides.
	// Jitter alone keeps the order of packets.
	Jitter time.Duration
	// Reorder is the probability, 0 to 1, that a packet is not held at all and
	// so overtakes those before it.
	Reorder float64
	// Loss is the probability, 0 to 1, that a packet is dropped. Each packet is
	// judged alone; a segmentation-offload burst is one packet, so turn offloads
	// off where loss must be per packet (see lab.Iface.PerPacket).
	Loss float64
	// Duplicate is the probability, 0 to 1, that a packet leaves twice. It makes
	// packets cost more, as their payload is copied, and cuts bursts up.
	Duplicate float64
	// Blackhole drops every packet, those that are held included.
	Blackhole bool
	// Limit is the most packets held at a time; the kernel drops further ones.
	// Zero means DefaultLimit. Set does not change it.
	Limit int
	// Seed makes the random decisions repeatable. Set does not change it.
	Seed uint64
}

// validate reports the first field that makes no sense.
func (c Config) validate() error {
	switch {
	case c.Delay < 0 || c.Jitter < 0:
		return fmt.Errorf("emu: delay %v and jitter %v must not be negative", c.Delay, c.Jitter)
	case c.Jitter > c.Delay:
		return fmt.Errorf("emu: jitter %v is larger than the delay %v it varies", c.Jitter, c.Delay)
	case !probability(c.Loss) || !probability(c.Reorder) || !probability(c.Duplicate):
		return fmt.Errorf("emu: loss %v, reorder %v and duplicate %v are probabilities from 0 to 1", c.Loss, c.Reorder, c.Duplicate)
	case c.Limit < 0:
		return fmt.Errorf("emu: limit %d must not be negative", c.Limit)
	}
	return nil
}

func probability(p float64) bool { return p >= 0 && p <= 1 }

// Stats counts what a queue has done so far.
type Stats struct {
	Packets    uint64 // seen
	Dropped    uint64 // by Config.Loss or Blackhole
	Duplicated uint64 // by Config.Duplicate
}
