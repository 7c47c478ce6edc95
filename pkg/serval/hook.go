package serval

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/serval-net/serval/internal/hook"
)

// Hook finds or starts an instance of a service that nobody serves: one of
// Command, URL and Call is set. It may say where the instance is, or make it
// register by itself.
type Hook struct {
	// Command is a program and its arguments, which gets the service in the
	// variables SERVAL_SERVICE and SERVAL_SERVICE_ID. It must exit with 0. Lines
	// of its output that read "forward 192.0.2.7:4000" say where an instance is,
	// and one that reads "ttl 30s", for how long.
	Command []string

	// URL is called by POST with a JSON object that has "service" and
	// "service_id". It may answer with a JSON object that has "forward", a list of
	// addresses, and "ttl_s".
	URL string

	// Call is a function of this program. It returns where instances are and for
	// how long; 0 means 30 seconds.
	Call func(ctx context.Context, service string) (forward []netip.AddrPort, ttl time.Duration, err error)

	// Timeout bounds a run, and the time from its start in which an instance must
	// appear. 0 means 30 seconds; the most is 10 minutes.
	Timeout time.Duration
}

const (
	defaultHookTimeout = 30 * time.Second
	maxHookTimeout     = 10 * time.Minute
)

func (h Hook) isZero() bool {
	return len(h.Command) == 0 && h.URL == "" && h.Call == nil && h.Timeout == 0
}

func (h Hook) clone() Hook {
	h.Command = slices.Clone(h.Command)
	return h
}

func (h Hook) outside() hook.Hook { return hook.Hook{Command: h.Command, URL: h.URL} }

// String names the hook for people.
func (h Hook) String() string {
	if h.Call != nil {
		return "a function of the program"
	}
	return h.outside().String()
}

func (h Hook) check() error {
	if h.Timeout < 0 || h.Timeout > maxHookTimeout {
		return fmt.Errorf("the hook's timeout is %v; choose one up to %v", h.Timeout, maxHookTimeout)
	}
	if h.Call == nil {
		return h.outside().Check()
	}
	if !h.outside().IsZero() {
		return errors.New("a hook is either a command, a URL or a function")
	}
	return nil
}

func (h Hook) timeout() time.Duration {
	if h.Timeout == 0 {
		return defaultHookTimeout
	}
	return h.Timeout
}

// run runs the hook.
func (h Hook) run(ctx context.Context, c hook.Call) (hook.Answer, error) {
	if h.Call == nil {
		return h.outside().Run(ctx, c)
	}
	forward, ttl, err := h.Call(ctx, c.Service)
	if err != nil {
		return hook.Answer{}, err
	}
	if ttl == 0 {
		ttl = hook.DefaultTTL
	}
	return hook.Answer{Forward: forward, TTL: ttl}, nil
}
