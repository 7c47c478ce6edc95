// Package load is what the benchmark does over every transport: one server and
// a set of client workloads that see only net.Conn, so that all systems do
// exactly the same.
//
// A connection starts with one byte that says what the server shall do with it.
package load

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"
)

// Transport is a system under test. Dial makes a connection from nothing, with
// the full handshake the system has; it may be called concurrently. A Transport
// that is an io.Closer is closed when its server process is asked to stop.
type Transport interface {
	Listen(addr netip.AddrPort) (net.Listener, error)
	Dial(ctx context.Context, addr netip.AddrPort) (net.Conn, error)
}

// Spec is one workload for a client, with the server's address.
type Spec struct {
	Kind    string // "bulk", "rr", "dials", "idle", "series"
	Addr    netip.AddrPort
	Warm    time.Duration // before measuring, for bulk and rr
	For     time.Duration // measured time, for bulk, rr and dials; interval, for series
	Streams int           // parallel connections, for bulk; dialers, for dials
	Conns   int           // for idle and series
}

// Result holds what a workload measured, by name.
type Result map[string]float64

// Run does the workload spec over the transport.
func Run(ctx context.Context, t Transport, spec Spec) (Result, error) {
	c := client{t, spec}
	switch spec.Kind {
	case "bulk":
		return c.bulk(ctx)
	case "rr":
		return c.roundTrips(ctx)
	case "dials":
		return c.dials(ctx)
	case "idle":
		return c.idle(ctx)
	case "series":
		return c.series(ctx)
	}
	return nil, fmt.Errorf("unknown workload %q", spec.Kind)
}

// client runs workloads.
type client struct {
	Transport
	Spec
}

// open dials and sends the first byte.
func (c client) open(ctx context.Context, op byte) (net.Conn, error) {
	conn, err := c.Dial(ctx, c.Addr)
	if err != nil {
		return nil, err
	}
	if _, err := conn.Write([]byte{op}); err != nil {
		conn.Close()
		return nil, err
	}
	return conn, nil
}

// meter reads a number from the server process: opMemory or opCPU.
type meter struct{ net.Conn }

func (c client) meter(ctx context.Context, op byte) (meter, error) {
	conn, err := c.open(ctx, op)
	return meter{conn}, err
}

func (m meter) read() (uint64, error) {
	b := make([]byte, 8)
	if _, err := m.Write(b[:1]); err != nil {
		return 0, err
	}
	if _, err := io.ReadFull(m, b); err != nil {
		return 0, fmt.Errorf("server's use: %w", err)
	}
	return binary.BigEndian.Uint64(b), nil
}
