package serval

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"time"

	"github.com/serval-net/serval/internal/handshake"
	"github.com/serval-net/serval/pkg/sal"
)

const (
	// longestHint bounds how long a dial obeys a busy instance, whose refusal
	// anybody on the way could have forged.
	longestHint = 5 * time.Second

	// An instance that does not serve the name any more was on its way out when
	// it was found: who takes its place is known in a moment. That it is gone is
	// news for the time of stalePatience, to all dials of this node together.
	staleRetry    = 250 * time.Millisecond // when it may be asked again itself
	stalePatience = time.Second            // how long dials bear with such answers

	// pollEvery is how often the resolver is asked meanwhile, and pollBusy how
	// often while all instances are busy.
	pollEvery = 50 * time.Millisecond
	pollBusy  = 500 * time.Millisecond
)

// refused is the error of a dial whose SYN was answered with a REFUSE.
type refused struct {
	error
	code  sal.RefuseCode
	after time.Duration // when the instance may be asked again; 0 is not said
}

func (r *refused) Unwrap() error { return r.error }

// declined is when addresses that declined may be asked again, the zero time for
// never.
type declined map[netip.AddrPort]time.Time

// decline notes that an address will not do, for ever or for now.
func (a *attempt) decline(addr netip.AddrPort, err error) {
	now := time.Now()
	a.last = err
	a.node.refusals.note(a.name, addr, err, now)
	var until time.Time
	var no *refused
	switch {
	case errors.As(err, &no) && no.code == sal.Overloaded && no.after > 0:
		until = now.Add(min(no.after, longestHint))
	case errors.Is(err, handshake.ErrNoPorts): // and never will
	case errors.As(err, &no) && (no.code == sal.NoService || no.code == sal.ShuttingDown), no == nil && errors.Is(err, ErrRefused):
		since := a.node.gone.note(a.name, addr, now)
		if since.After(a.stale) {
			a.stale = since
		}
		if now.Sub(since) < stalePatience {
			until = now.Add(staleRetry)
		}
	}
	if a.declined == nil {
		a.declined = make(declined)
	}
	a.declined[addr] = until
	if no != nil && (no.code == sal.Overloaded || no.code == sal.ShuttingDown) {
		if c := a.candidate(addr); c != nil { // other dials need not ask it now
			a.node.health.declined(&c.from, min(no.after, longestHint))
		}
	}
}

// out reports whether an address declined and may not be asked now.
func (a *attempt) out(addr netip.AddrPort) bool {
	until, declined := a.declined[addr]
	return declined && (until.IsZero() || time.Now().Before(until))
}

// anyLeft reports whether there is somebody to ask.
func (a *attempt) anyLeft() bool {
	return slices.ContainsFunc(a.list, func(c candidate) bool { return !a.out(c.addr) })
}

// hope is what to do when everybody has declined: to ask on, now or after a
// while, or to give up.
func (a *attempt) hope(ctx context.Context) (wait time.Duration, hope bool) {
	a.resolveAgain(ctx)
	if a.anyLeft() {
		return 0, true
	}
	now := time.Now()
	wait = pollBusy
	if !a.stale.IsZero() && now.Sub(a.stale) < stalePatience {
		wait, hope = pollEvery, true
	}
	for _, c := range a.list {
		if until := a.declined[c.addr]; !until.IsZero() {
			wait, hope = min(wait, until.Sub(now)), true
		}
	}
	return max(wait, time.Millisecond), hope
}
