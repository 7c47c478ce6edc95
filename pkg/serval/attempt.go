package serval

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/serval-net/serval/internal/handshake"
	"github.com/serval-net/serval/pkg/sal"
)

// attempt is one dial under way: it sends the same SYN to one candidate after
// the other, the next when the last has been silent for TryNext or refused, and
// takes the first that answers with a valid certificate for the name. Answers
// of candidates asked earlier stay welcome: they race. When all have declined, it
// asks those again that are busy now, as late as they wish, and the resolver for
// others.
type attempt struct {
	node *Node
	name sal.Name
	want want
	init *handshake.Initiator
	list []candidate
	next int           // how many SYNs went out; the next goes to next mod len(list)
	wait time.Duration // before the next
	last error         // the last refusal or bad answer

	stale time.Time // when an instance was first found to be gone, of several the last

	asked    map[netip.AddrPort]*asked
	declined declined
	cookies  map[netip.AddrPort][]byte // SYNs with the cookie an instance wants

	session *handshake.Session // of the winner
	third   []byte             // the OPEN packet to send it
	won     answer
	credit  netip.AddrPort // whom we asked for it: the winner, or the router that found it
}

// asked is what a dial knows of an address that it sent SYNs to.
type asked struct {
	first, last time.Time
	times       int
}

// params is what the SYN says of the connection wanted.
func (a *attempt) params() handshake.Params {
	p := a.node.params(a.want.datagram)
	p.Key, p.Port = a.want.choice.key, a.want.port
	return p
}

// run asks candidates until one answers well.
func (a *attempt) run(ctx context.Context, d *dialing) error {
	a.ask(ctx)
	timer := time.NewTimer(a.pause())
	a.node.prepare()
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			if !a.anyLeft() {
				wait, hope := a.hope(ctx)
				if !hope {
					return a.last
				}
				if wait > 0 {
					timer.Reset(wait)
					continue
				}
			}
			a.ask(ctx)
			timer.Reset(a.pause())
		case ans := <-d.answers:
			done, err := a.hear(&ans)
			if done {
				return nil
			}
			if err != nil && a.elsewhere(ans.from, err) {
				a.ask(ctx)
				timer.Reset(a.pause())
				continue
			}
			if err == nil || a.asked[ans.from] == nil || a.out(ans.from) {
				continue // it meant nothing, or nothing new
			}
			a.decline(ans.from, err)
			if !a.anyLeft() {
				timer.Reset(a.grace(ans.from))
				continue
			}
			a.ask(ctx)
			timer.Reset(a.pause())
		case <-a.node.quit:
			return errNodeClosed
		case <-ctx.Done():
			for addr := range a.asked {
				a.markSilent(addr)
			}
			if a.last != nil {
				return a.last
			}
			return ctx.Err()
		}
	}
}

// ask sends the SYN to the next candidate that has not declined; after the last
// it starts over.
func (a *attempt) ask(ctx context.Context) {
	if a.next > 0 {
		a.markSilent(a.list[(a.next-1)%len(a.list)].addr)
		if a.next%len(a.list) == 0 {
			a.resolveAgain(ctx)
		} else {
			a.silentLast()
		}
	}
	for a.out(a.list[a.next%len(a.list)].addr) {
		a.next++
	}
	a.send(a.list[a.next%len(a.list)].addr)
	a.next++
}

// silentLast moves those that are left, and were silent in other dials meanwhile,
// behind the others.
func (a *attempt) silentLast() {
	now := time.Now()
	late := func(c candidate) int {
		if a.node.health.suspect(c.addr, now) {
			return 1
		}
		return 0
	}
	list := slices.Clone(a.list)
	slices.SortStableFunc(list[a.next%len(list):], func(x, y candidate) int { return late(x) - late(y) })
	a.list = list
}

func (a *attempt) send(to netip.AddrPort) {
	syn := a.cookies[to]
	if syn == nil {
		syn = a.init.SYN()
	}
	if _, again := a.declined[to]; again || a.asked[to] == nil {
		delete(a.declined, to)
		a.asked[to] = &asked{first: time.Now()}
	}
	a.asked[to].last = time.Now()
	a.asked[to].times++
	if sock := a.node.sockets.pick(to.Addr()); sock != nil {
		sock.Send(syn, len(syn), to) // an error is a silent candidate
	}
}

// pause is how long to wait for an answer: TryNext while there is another
// candidate, twice as long with every round.
func (a *attempt) pause() time.Duration {
	w := a.wait
	if a.next%len(a.list) == 0 {
		a.wait *= 2
	}
	return w
}

// markSilent notes that an address had its chance.
func (a *attempt) markSilent(addr netip.AddrPort) {
	_, answered := a.declined[addr]
	if s := a.asked[addr]; s != nil && !answered && time.Since(s.first) >= a.node.cfg.TryNext {
		a.node.health.silent(addr)
		a.report(addr, false)
	}
}

// resolveAgain asks for candidates anew after all known ones had their chance:
// instances may have come, gone or moved. Those that declined stay known.
func (a *attempt) resolveAgain(ctx context.Context) {
	if a.want.fixed {
		return
	}
	list, err := a.node.candidates(ctx, a.name, a.want.choice)
	if err == nil && slices.ContainsFunc(list, func(c candidate) bool { return !a.out(c.addr) }) {
		a.list, a.next = list, len(list) // rounds go on being counted
	}
}

func (a *attempt) report(addr netip.AddrPort, ok bool) {
	if c := a.candidate(addr); c != nil {
		a.node.report(c, ok)
	}
}

// candidate returns the one asked at an address, nil if it is not on the list.
func (a *attempt) candidate(addr netip.AddrPort) *candidate {
	if i := slices.IndexFunc(a.list, func(c candidate) bool { return c.addr == addr }); i >= 0 {
		return &a.list[i]
	}
	return nil
}

// grace is how long to wait after the last refusal: twice as long as that took.
// A refusal is not authenticated, so whoever sees a SYN can forge one and be
// faster; the genuine answer is still welcome.
func (a *attempt) grace(from netip.AddrPort) time.Duration {
	const least = 20 * time.Millisecond
	return min(max(2*time.Since(a.asked[from].last), least), a.node.cfg.TryNext)
}

// rtt is the round trip that the winner's answer took, 0 if there were several
// SYNs that it may be the answer to.
func (a *attempt) rtt() time.Duration {
	s := a.asked[a.won.from]
	if s == nil || s.times > 1 {
		return 0
	}
	return time.Since(s.first)
}

// hear takes an answer. It reports whether that opened the connection, or the
// error if the instance declined or is not who it should be. A packet that
// means nothing is neither.
func (a *attempt) hear(ans *answer) (done bool, err error) {
	asked := ans.from
	if ans.origin.IsValid() {
		if a.asked[asked] == nil {
			return false, nil // of a router that we did not ask
		}
		ans.from, ans.socket = ans.origin, a.node.sockets.pick(ans.origin.Addr())
		if ans.socket == nil {
			return false, nil
		}
	}
	if ans.err != nil {
		a.node.health.silent(ans.from)
		return false, ans.err
	}
	t, _ := sal.PeekType(ans.pkt)
	switch t {
	case sal.TypeSYNACK:
		a.session, a.third, err = a.init.HandleSYNACK(time.Now(), ans.pkt)
		switch {
		case err == nil && !a.want.choice.admits(a.session.Peer.Node):
			return false, because(ErrNoService, "another instance answered for node %v, which %v was wanted of", a.want.choice.only.Short(), a.name)
		case err == nil:
			a.won, a.credit = *ans, a.askedFor(asked, a.session.Router)
			return true, nil
		case errors.Is(err, handshake.ErrNotAuthorized):
			return false, fmt.Errorf("%w: %w", ErrNotAuthorized, err)
		case errors.Is(err, handshake.ErrNoPorts):
			return false, fmt.Errorf("%w: %w to tell datagrams of %v apart by; update its node, or dial without a port", ErrRefused, err, a.name)
		}
	case sal.TypeCookie:
		if syn, err := a.init.HandleCookie(ans.pkt); err == nil {
			if a.cookies == nil {
				a.cookies = make(map[netip.AddrPort][]byte)
			}
			a.cookies[ans.from] = syn
			if s := a.asked[ans.from]; s != nil {
				s.times = 0 // the next answer is to the next SYN
				s.first = time.Now()
			}
			a.send(ans.from)
		}
	case sal.TypeRefuse:
		if r, err := a.init.HandleRefuse(ans.pkt); err == nil {
			return false, &refused{refusal(a.name, r.Code), r.Code, r.RetryAfter}
		}
	}
	return false, nil
}

// refusal says in the caller's terms why an instance declined.
func refusal(name sal.Name, code sal.RefuseCode) error {
	switch code {
	case sal.NoService:
		return because(ErrNoService, "the instance asked does not serve %v any more", name)
	case sal.NotAuthorized:
		return because(ErrNotAuthorized, "the instance does not let this node dial %v", name)
	case sal.VersionMismatch:
		return because(ErrRefused, "the instance of %v speaks another version of Serval; update the older of the two", name)
	}
	return because(ErrRefused, "the instances of %v declined: %v", name, code)
}
