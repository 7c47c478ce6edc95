//go:build linux

package main

import (
	"time"

	"github.com/serval-net/serval/interop/lab"
)

// plan is how long and how often to measure.
type plan struct {
	runs    int
	warm    time.Duration // before rates are measured or something breaks
	rate    time.Duration // for which a rate is measured
	observe time.Duration // after something broke, and after it was mended
	outage  time.Duration // without any path
	patient time.Duration // for which to wait after the outage
	moves   int           // in a row
	idle    int           // connections
}

var (
	fullPlan = plan{
		runs: 5, warm: 3 * time.Second, rate: 5 * time.Second, observe: 4 * time.Second,
		outage: time.Minute, patient: 30 * time.Second, moves: 1000, idle: 1000,
	}
	quickPlan = plan{
		runs: 1, warm: 2 * time.Second, rate: 2 * time.Second, observe: 2 * time.Second,
		outage: 10 * time.Second, patient: 8 * time.Second, moves: 1000, idle: 1000,
	}
)

// The paths of the networks.
var (
	good = lab.Path{RTT: 20 * time.Millisecond, Rate: 100e6, Queue: 50 * time.Millisecond}
	far  = lab.Path{RTT: 160 * time.Millisecond, Rate: 20e6, Queue: 50 * time.Millisecond}
	slow = lab.Path{RTT: 20 * time.Millisecond, Rate: 10e6, Queue: 50 * time.Millisecond}
	// bloated holds packets for up to 400 ms.
	bloated = lab.Path{RTT: 20 * time.Millisecond, Rate: 10e6, Queue: 400 * time.Millisecond}
)

// lossy is a good path that loses packets in both directions.
func lossy(p float64) lab.Path {
	path := good
	path.Loss, path.LossUp = p, p
	return path
}
