package load

import (
	"context"
	"io"
	"net"
	"slices"
	"time"
)

// The idle CPU measurement lets the connection come to rest first, so that it
// counts neither the last timers of the traffic before nor its own set-up.
const (
	settleFor = 500 * time.Millisecond
	idleFor   = 3 * time.Second
)

// roundTrips sends one byte and waits for it, over and over, and reports the
// times in microseconds; then the CPU time both processes use while the
// connection rests, in ms per second.
func (c client) roundTrips(ctx context.Context) (Result, error) {
	conn, err := c.open(ctx, opEcho)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if _, err := pingPong(conn, c.Warm); err != nil {
		return nil, err
	}
	times, err := pingPong(conn, c.For)
	if err != nil {
		return nil, err
	}
	slices.Sort(times)
	cpu, err := c.idleCPU(ctx)
	if err != nil {
		return nil, err
	}
	return Result{
		"p50":      micro(times[len(times)/2]),
		"p99":      micro(times[len(times)*99/100]),
		"idle-cpu": cpu,
	}, nil
}

// pingPong sends single bytes for d and returns how long each answer took.
func pingPong(conn net.Conn, d time.Duration) ([]time.Duration, error) {
	var times []time.Duration
	b := make([]byte, 1)
	for start := time.Now(); ; {
		t := time.Now()
		if _, err := conn.Write(b); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(conn, b); err != nil {
			return nil, err
		}
		times = append(times, time.Since(t))
		if time.Since(start) >= d {
			return times, nil
		}
	}
}

// idleCPU returns the CPU time in ms per second that client and server use for
// doing nothing.
func (c client) idleCPU(ctx context.Context) (float64, error) {
	meter, err := c.meter(ctx, opCPU)
	if err != nil {
		return 0, err
	}
	defer meter.Close()
	time.Sleep(settleFor)
	server, err := meter.read()
	if err != nil {
		return 0, err
	}
	client := cpuTime()
	time.Sleep(idleFor)
	client = cpuTime() - client
	after, err := meter.read()
	if err != nil {
		return 0, err
	}
	used := client + time.Duration(after-server)
	return float64(used.Microseconds()) / 1000 / idleFor.Seconds(), nil
}

func micro(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
