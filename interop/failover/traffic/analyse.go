//go:build linux

package traffic

import (
	"fmt"
	"sort"
	"time"
)

// Exact reports how the records of a connection's two ends disagree, or that
// one of them did not end well; nil means that every byte sent arrived, once
// and in order, and that no application saw an error.
func Exact(client, server Record) error {
	for _, end := range []struct {
		name string
		Record
	}{{"client", client}, {"server", server}} {
		switch {
		case end.Error != "":
			return fmt.Errorf("%s: %s", end.name, end.Error)
		case end.Wrong >= 0:
			return fmt.Errorf("%s: byte %d of the stream is wrong", end.name, end.Wrong)
		case !end.Ended:
			return fmt.Errorf("%s: the stream has no end", end.name)
		}
	}
	if client.Sent != server.Received || server.Sent != client.Received {
		return fmt.Errorf("bytes up: %d sent, %d received; down: %d sent, %d received",
			client.Sent, server.Received, server.Sent, client.Received)
	}
	if client.SentSum != server.ReceivedSum || server.SentSum != client.ReceivedSum {
		return fmt.Errorf("the SHA-256 of what was sent and of what was received differ")
	}
	return nil
}

// Gap returns the longest time without an arrival that touches the interval from
// from to to and had begun at begun: later ones have other causes. A gap that
// began before the interval counts whole; the interval's end counts as an arrival.
func Gap(s []Sample, from, begun, to time.Duration) time.Duration {
	first := sort.Search(len(s), func(i int) bool { return s[i].At >= from })
	last := from
	if first > 0 {
		last = s[first-1].At
	}
	var gap time.Duration
	for _, x := range s[first:] {
		if x.At > to || last > begun {
			break
		}
		gap = max(gap, x.At-last)
		last = x.At
	}
	if last > begun {
		return gap
	}
	return max(gap, to-last)
}

// Rate returns what arrived in an interval, in Mbit/s.
func Rate(s []Sample, from, to time.Duration) float64 {
	bytes := 0
	for _, x := range s {
		if x.At >= from && x.At < to {
			bytes += x.Bytes
		}
	}
	return float64(bytes) * 8 / 1e6 / (to - from).Seconds()
}

// RateReached returns how long after from the rate, taken over windows of the
// given length, first reaches a bound in Mbit/s: until the end of the first such
// window. It is to-from if that never happens.
func RateReached(s []Sample, from, to, window time.Duration, bound float64) time.Duration {
	const step = 10 * time.Millisecond
	for at := from; at+window <= to; at += step {
		if Rate(s, at, at+window) >= bound {
			return at + window - from
		}
	}
	return to - from
}

// Recovery returns the longest time without an arrival from works on, when the
// network works again, to to: of a silence that began before works, the part
// after it. A stream that never returns gives to-works.
func Recovery(s []Sample, works, to time.Duration) time.Duration {
	last, longest := works, time.Duration(0)
	for _, x := range s {
		if x.At < works {
			continue
		}
		if x.At > to {
			break
		}
		longest = max(longest, x.At-last)
		last = x.At
	}
	return max(longest, to-last)
}
