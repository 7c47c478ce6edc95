package serval

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/serval-net/serval/internal/handshake"
	"github.com/serval-net/serval/pkg/sal"
)

// attempt is one dial under way: it sends the same SYN to one candidate after
// the other, the next when the last has been silent for TryNext or refused, and
// takes the first that answers with a valid certificate for the name. Answers
// of candidates asked earlier stay welcome: they race.
type attempt struct {
	node *Node
	name sal.Name
	init *handshake.Initiator
	list []candidate
	next int           // how many SYNs went out; the next goes to next mod len(list)
	wait time.Duration // before the next
	last error         // the last refusal or bad answer
	no   int           // how many refused

	asked   map[netip.AddrPort]time.Time
	cookies map[netip.AddrPort][]byte // SYNs with the cookie an instance wants

	session *handshake.Session // of the winner
	third   []byte             // the OPEN packet to send it
	won     answer
}

// run asks candidates until one answers well.
func (a *attempt) run(ctx context.Context, d *dialing) error {
	a.ask()
	timer := time.NewTimer(a.pause())
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			a.ask()
			timer.Reset(a.pause())
		case ans := <-d.answers:
			done, err := a.hear(&ans)
			if done {
				return nil
			}
			if err == nil {
				continue // it meant nothing
			}
			if a.last = err; a.no >= len(a.list) {
				return err // everyone declined
			}
			a.ask()
			timer.Reset(a.pause())
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

// ask sends the SYN to the next candidate; after the last it starts over.
func (a *attempt) ask() {
	if a.next > 0 {
		a.markSilent(a.list[(a.next-1)%len(a.list)].addr)
	}
	a.send(a.list[a.next%len(a.list)].addr)
	a.next++
}

func (a *attempt) send(to netip.AddrPort) {
	syn := a.cookies[to]
	if syn == nil {
		syn = a.init.SYN()
	}
	if _, again := a.asked[to]; !again {
		a.asked[to] = time.Now()
	}
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
	if at, ok := a.asked[addr]; ok && time.Since(at) >= a.node.cfg.TryNext {
		a.node.health.silent(addr)
	}
}

// rtt is the round trip that the winner's answer took.
func (a *attempt) rtt() time.Duration { return time.Since(a.asked[a.won.from]) }

// hear takes an answer. It reports whether that opened the connection, or the
// error if the instance declined or is not who it should be. A packet that
// means nothing is neither.
func (a *attempt) hear(ans *answer) (done bool, err error) {
	t, _ := sal.PeekType(ans.pkt)
	switch t {
	case sal.TypeSYNACK:
		a.session, a.third, err = a.init.HandleSYNACK(time.Now(), ans.pkt)
		switch {
		case err == nil:
			a.won = *ans
			return true, nil
		case errors.Is(err, handshake.ErrNotAuthorized):
			a.no++
			return false, fmt.Errorf("%w: %w", ErrNotAuthorized, err)
		}
	case sal.TypeCookie:
		if syn, err := a.init.HandleCookie(ans.pkt); err == nil {
			if a.cookies == nil {
				a.cookies = make(map[netip.AddrPort][]byte)
			}
			a.cookies[ans.from] = syn
			a.send(ans.from)
		}
	case sal.TypeRefuse:
		if r, err := a.init.HandleRefuse(ans.pkt); err == nil {
			a.no++
			return false, refusal(a.name, r.Code)
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
