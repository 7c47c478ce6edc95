package tun

import (
	"context"
	"log/slog"
	"time"
)

// Config bounds what a stack holds. Zero fields have the defaults that they name.
type Config struct {
	// MaxStreams is how many TCP connections are open at once: 16384, of which one
	// client has three quarters at most. More are reset.
	MaxStreams int

	// MaxOpening is how many TCP connections wait for Handler.Stream at once: 1024,
	// and at most a quarter of them for one address. More are not answered: the
	// client tries again.
	MaxOpening int

	// OpenTimeout is how long Handler's methods may take to open something: 10 s.
	OpenTimeout time.Duration

	// Memory is about how many bytes TCP may hold for all connections together, when
	// none of their readers reads: 1 GiB. What each may hold shrinks as their number
	// grows, from MaxBuffer down to 32 KiB.
	Memory int

	// MaxBuffer is how many bytes TCP holds in each direction of one connection at
	// most: 4 MiB.
	MaxBuffer int

	// MaxFlows is how many datagram flows there are at once: 4096. For one more, another
	// is given up: the longest silent of a client that has its share of them. Up to 64
	// datagrams wait in each, and 32 MiB in all.
	MaxFlows int

	// FlowIdle is how long a datagram flow without traffic is kept: 2 minutes.
	FlowIdle time.Duration

	// Drain is how long open streams may go on after Run was told to stop: none.
	Drain time.Duration

	// End, if not nil, is what ends open streams when it is done, instead of Drain.
	End context.Context

	// Log gets a line for what fails unexpectedly; nil is slog.Default().
	Log *slog.Logger
}

func (c Config) withDefaults() Config {
	for _, d := range []struct {
		field *int
		value int
	}{
		{&c.MaxStreams, 16384}, {&c.MaxOpening, 1024},
		{&c.Memory, 1 << 30}, {&c.MaxBuffer, 4 << 20}, {&c.MaxFlows, 4096},
	} {
		if *d.field <= 0 {
			*d.field = d.value
		}
	}
	if c.OpenTimeout <= 0 {
		c.OpenTimeout = 10 * time.Second
	}
	if c.FlowIdle <= 0 {
		c.FlowIdle = 2 * time.Minute
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return c
}
