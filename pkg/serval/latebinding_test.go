package serval

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/handshake"
	"github.com/serval-net/serval/internal/simnet"
	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/sal"
)

// nowhere is an address of the lab that nobody has.
var nowhere = netip.AddrPortFrom(ip(99), 7000)

// sentence checks an error's kind and that its text has the words.
func sentence(t *testing.T, err, kind error, words ...string) {
	t.Helper()
	if !errors.Is(err, kind) {
		t.Errorf("error is %v, want one that is %q", err, kind)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}

func TestDeadCandidate(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, server := l.node(1), l.node(2)
	l.add("svc:echo", nowhere)
	l.echo(server, "svc:echo")
	var syns counter
	l.net.SetTap(func(p *simnet.Packet) bool {
		if p.To == nowhere {
			syns.count(typeOf(p.Data))
		}
		return true
	})
	c := l.dial(client, "svc:echo")
	must(t, ask(c, "request"))
	if n := syns.get(sal.TypeSYN); n != 1 {
		t.Errorf("the dead candidate got %d SYNs, want 1", n)
	}
	if got := c.PeerIdentity().Node; got != server.ID() {
		t.Errorf("connected to %v", got)
	}
	must(t, c.Close())
	t.Run("IsNotFirstAgain", func(t *testing.T) {
		c := l.dial(client, "svc:echo")
		must(t, ask(c, "request"))
		must(t, c.Close())
		if n := syns.get(sal.TypeSYN); n != 1 {
			t.Errorf("the dead candidate got %d SYNs in two dials, want 1", n)
		}
	})
}

// TestDialsLearnFromEachOther: an instance that another dial finds silent, while
// this one waits for the first, is not waited for again.
func TestDialsLearnFromEachOther(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client := l.node(1)
	second := netip.AddrPortFrom(ip(98), 7000)
	l.add("svc:echo", nowhere)
	l.add("svc:echo", second)
	server := l.node(2)
	l.echo(server, "svc:echo")
	var syns counter
	l.net.SetTap(func(p *simnet.Packet) bool {
		switch p.To {
		case nowhere:
			client.health.silent(second)
		case second:
			syns.count(typeOf(p.Data))
		}
		return true
	})
	c := l.dial(client, "svc:echo")
	defer c.Close()
	if n := syns.get(sal.TypeSYN); n != 0 || c.PeerIdentity().Node != server.ID() {
		t.Errorf("who was silent elsewhere got %d SYNs", n)
	}
}

// TestCrashCostsOneTimer measures many dials of fresh clients to three
// instances of which one has crashed.
func TestCrashCostsOneTimer(t *testing.T) {
	t.Parallel()
	dials := 200
	if raceEnabled {
		dials = 40
	}
	l := newLab(t)
	l.flat = true
	servers := []*Node{l.node(1), l.node(2), l.node(3)}
	for _, n := range servers {
		l.echo(n, "svc:echo")
	}
	client := l.node(4)
	for _, h := range []int{1, 2, 3} {
		if h == 2 { // crashed: no withdrawal, no answer
			l.net.SetPath(ip(4), ip(h), simnet.Params{Blackhole: true})
		}
	}
	var took []time.Duration
	slow := 0
	for range dials {
		client.health.init() // every dial is the first after the crash
		begin := time.Now()
		c := l.dial(client, "svc:echo")
		took = append(took, time.Since(begin))
		if took[len(took)-1] >= DefaultTryNext {
			slow++
		}
		if c.PeerIdentity().Node == servers[1].ID() {
			t.Fatal("connected to the crashed instance")
		}
		must(t, c.Close())
	}
	slices.Sort(took)
	t.Logf("%d dials over 3 instances, one crashed: median %v, p99 %v, %d waited", dials, took[dials/2], took[dials*99/100], slow)
	if slow > dials/2 {
		t.Errorf("%d of %d dials waited, want about a third", slow, dials)
	}
}

func TestGracefulStopCostsNothing(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, first, second := l.node(1), l.node(2), l.node(3)
	l.echo(first, "svc:echo")
	l.echo(second, "svc:echo")
	must(t, first.Close())
	c := l.dial(client, "svc:echo")
	defer c.Close()
	if s := c.Stats(); c.PeerIdentity().Node != second.ID() || s.Age > 10*time.Second {
		t.Errorf("connected to %v", c.RemoteAddr())
	}
	if n := first.Stats().Refused + second.Stats().Refused; n != 0 {
		t.Errorf("%d refusals, want none: the instance was withdrawn", n)
	}
}

// TestRefusalMovesOn: a refusal makes the dial go on without waiting for the
// timer, which is set too long for the test.
func TestRefusalMovesOn(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client := l.nodeWith(Config{TryNext: time.Hour, DialTimeout: 20 * time.Second}, ip(1))
	l.node(2) // serves nothing
	full := l.nodeWith(Config{Backlog: 1}, ip(3))
	server := l.node(4)

	t.Run("NoSuchService", func(t *testing.T) {
		l.add("svc:a", netip.AddrPortFrom(ip(2), 7000))
		l.echo(server, "svc:a")
		must(t, exchange(l.dial(client, "svc:a"), 1000))
	})
	t.Run("BacklogFull", func(t *testing.T) {
		if _, err := full.Listen("svc:b"); err != nil {
			t.Fatal(err)
		}
		c := l.dial(client, "svc:b")
		defer c.Close()
		must(t, waitAccepted(full))
		l.echo(server, "svc:b")
		must(t, exchange(l.dial(client, "svc:b"), 1000))
	})
	t.Run("AllDecline", func(t *testing.T) {
		l.add("svc:c", netip.AddrPortFrom(ip(2), 7000))
		l.add("svc:c", netip.AddrPortFrom(ip(3), 7000))
		_, err := client.Dial("svc:c")
		sentence(t, err, ErrNoService, "svc:c", "tried 2 instances")
	})
	t.Run("OnlyOneAndFull", func(t *testing.T) {
		_, err := full.Listen("svc:d")
		must(t, err)
		c := l.dial(client, "svc:d")
		defer c.Close()
		must(t, waitAccepted(full))
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		_, err = client.DialContext(ctx, "tcp", "svc:d")
		sentence(t, err, ErrRefused, "svc:d", "overloaded", "tried 1 instance")
	})
}

// waitAccepted waits until all connections of a node are established and wait
// for Accept.
func waitAccepted(n *Node) error {
	queued := func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, l := range n.listeners {
			if !l.full() {
				return false
			}
		}
		return true
	}
	if !within(10*time.Second, queued) {
		return errors.New("the backlog did not fill")
	}
	return nil
}

// TestRefusalRepeated: copies of one refusal are not the refusals of others.
func TestRefusalRepeated(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, _, server := l.node(1), l.node(2), l.node(3)
	l.delay(1, 3, 20*time.Millisecond)
	l.net.SetTap(func(p *simnet.Packet) bool {
		if typeOf(p.Data) == sal.TypeRefuse {
			for range 3 {
				l.net.Inject(p.From, p.To, p.Data)
			}
		}
		return true
	})
	l.add("svc:echo", netip.AddrPortFrom(ip(2), 7000))
	l.echo(server, "svc:echo")
	must(t, exchange(l.dial(client, "svc:echo"), 1000))
}

func TestDialErrors(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client := l.nodeWith(Config{DialTimeout: 700 * time.Millisecond}, ip(1))
	t.Run("Unknown", func(t *testing.T) {
		_, err := client.Dial("svc:unheard")
		sentence(t, err, ErrNoService, "no instance of svc:unheard is known", "is it running")
	})
	t.Run("Silence", func(t *testing.T) {
		l.add("svc:silent", nowhere)
		l.add("svc:silent", netip.AddrPortFrom(ip(98), 7000))
		_, err := client.Dial("svc:silent")
		sentence(t, err, ErrTimeout, "no instance of svc:silent answered in time", "tried 2 instances")
		var op *OpError
		if !errors.As(err, &op) || !op.Timeout() || op.Tried != 2 {
			t.Errorf("error %#v", err)
		}
	})
	t.Run("NotAllowed", func(t *testing.T) {
		limited := l.nodeWith(Config{Identity: l.identityWith(identity.Rights{Dial: []string{"db"}})}, ip(2))
		_, err := limited.Dial("svc:web")
		sentence(t, err, ErrNotAuthorized, "does not allow it to dial svc:web", "join with a token")
	})
	t.Run("Cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_, err := client.DialContext(ctx, "tcp", "svc:silent")
		sentence(t, err, context.Canceled, "svc:silent")
	})
	t.Run("NodeClosedMeanwhile", func(t *testing.T) {
		n := l.nodeWith(Config{DialTimeout: time.Hour}, ip(3))
		failed := make(chan error)
		var seen counter
		l.net.SetTap(func(p *simnet.Packet) bool { seen.count(typeOf(p.Data)); return true })
		go func() {
			_, err := n.Dial("svc:silent")
			failed <- err
		}()
		eventually(t, "the dial is under way", func() bool { return seen.get(sal.TypeSYN) > 0 })
		must(t, n.Close())
		sentence(t, <-failed, ErrClosed, "the node was closed", "NewNode")
	})
}

// TestRefusedByServer: a dialler without the right gets the server's sentence,
// and the server's application never sees it. The dialler's own check is left
// out, as a rogue would.
func TestRefusedByServer(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	server := l.node(1)
	ln, err := server.Listen("svc:web")
	must(t, err)
	rogue := l.nodeWith(Config{Identity: l.identityWith(identity.Rights{Dial: []string{"db"}})}, ip(2))
	c := l.dialUnchecked(rogue, "svc:web")
	defer c.Close()
	_, err = c.Read(make([]byte, 1))
	sentence(t, err, ErrNotAuthorized, "does not allow it to dial svc:web")
	eventually(t, "the server has forgotten the connection", func() bool { return server.Stats().Connections == 0 })
	if len(ln.incoming) != 0 {
		t.Error("the connection was offered to the application")
	}
}

// dialUnchecked is Node.Dial without the checks that a rogue would leave out.
func (l *lab) dialUnchecked(n *Node, service string) *Conn {
	l.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	a := &attempt{node: n, name: sal.MustParseName(service), wait: DefaultTryNext,
		asked: make(map[netip.AddrPort]*asked)}
	var err error
	a.list, err = n.candidates(ctx, a.name, choice{})
	must(l, err)
	d := &dialing{answers: make(chan answer, 4)}
	id := n.flows.Insert(&entry{dial: d})
	a.init, err = handshake.NewInitiator(handshake.Config{Identity: n.id}, a.name, id, n.params(false))
	must(l, err)
	must(l, a.run(ctx, d))
	k, err := n.establish(&establishment{session: a.session, from: a.won.from, socket: a.won.socket,
		dialled: true, open: a.third, rtt: a.rtt()})
	must(l, err)
	return k.conn()
}
