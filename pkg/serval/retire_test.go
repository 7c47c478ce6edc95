package serval

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/simnet"
	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
)

// isKnown reports whether the lab's resolver knows an instance of a service on a
// node.
func (l *lab) isKnown(service string, n *Node) bool {
	found, _ := l.Resolve(context.Background(), sal.MustParseName(service))
	return slices.ContainsFunc(found, func(in resolver.Instance) bool { return in.Node == n.ID() })
}

// TestDrain: a drained instance is found no more and refuses; what it has goes
// on, and Drain waits for that. Undrain ends it.
func TestDrain(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, server, other := l.node(1), l.node(2), l.node(3)
	ln := l.echo(server, "svc:echo")
	l.echo(other, "svc:echo")
	c := l.dial(client, "svc:echo")
	must(t, ask(c, "before"))

	var left []int
	drained := make(chan error, 1)
	go func() { drained <- ln.Drain(t.Context(), func(n int) { left = append(left, n) }) }()
	eventually(t, "the instance is withdrawn", func() bool { return !l.isKnown("svc:echo", server) })
	eventually(t, "it refuses", ln.census.refuses)
	if !ln.Retired() {
		t.Error("a drained listener does not say so")
	}
	d := l.dial(client, "svc:echo")
	if d.PeerIdentity().Node != other.ID() {
		t.Error("a dial reached the drained instance")
	}
	must(t, d.Close())
	must(t, ask(c, "during"))
	select {
	case err := <-drained:
		t.Fatalf("Drain returned %v while there was a connection", err)
	case <-time.After(50 * time.Millisecond):
	}
	must(t, c.Close())
	must(t, <-drained)
	if !slices.Equal(left, []int{1, 0}) {
		t.Errorf("Drain counted %v connections", left)
	}

	must(t, ln.Suspend(t.Context()))
	must(t, ln.Undrain(t.Context()))
	if l.isKnown("svc:echo", server) || !ln.Retired() {
		t.Error("a suspended listener came back when it was no longer drained")
	}
	must(t, ln.Resume(t.Context()))
	if !l.isKnown("svc:echo", server) || ln.Retired() {
		t.Error("the listener did not come back")
	}
	must(t, other.Close())
	must(t, exchange(l.dial(client, "svc:echo"), 1000))

	t.Run("Impatient", func(t *testing.T) {
		c := l.dial(client, "svc:echo")
		defer c.Close()
		must(t, ask(c, "x"))
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		sentence(t, ln.Drain(ctx, nil), context.DeadlineExceeded, "drain svc:echo")
		if !ln.Retired() || ln.Connections() != 1 {
			t.Errorf("%d connections are left", ln.Connections())
		}
		if n := ln.Disconnect(); n != 1 {
			t.Errorf("Disconnect ended %d connections", n)
		}
		_, err := c.Read(make([]byte, 1))
		sentence(t, err, ErrReset, "taken out of service")
		must(t, ln.Drain(t.Context(), nil))
	})
	must(t, ln.Close())
	for op, f := range map[string]func(context.Context) error{
		"suspend": ln.Suspend, "resume": ln.Resume, "undrain": ln.Undrain,
		"drain": func(ctx context.Context) error { return ln.Drain(ctx, nil) },
	} {
		sentence(t, f(t.Context()), net.ErrClosed, op)
	}
}

// TestRetiredRefusesAsSuch: a dialler who still believes in a retired instance is
// told that it leaves.
func TestRetiredRefusesAsSuch(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, server := l.node(1), l.node(2)
	ln := l.echo(server, "svc:echo")
	must(t, ln.Suspend(t.Context()))
	l.add("svc:echo", server.at())
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := client.DialContext(ctx, "tcp", "svc:echo")
	sentence(t, err, ErrRefused, "shutting down")
	// Here it is not even asked.
	_, err = server.Dial("svc:echo")
	sentence(t, err, ErrRefused, "shutting down")
}

// TestSuccessorOnTheWay: a dial whose only candidate has just stopped waits for
// the moment it takes until the successor is known.
func TestSuccessorOnTheWay(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, gone, next := l.node(1), l.node(2), l.node(3)
	l.add("svc:echo", gone.at())
	var refused counter
	l.net.SetTap(func(p *simnet.Packet) bool { refused.count(typeOf(p.Data)); return true })
	time.AfterFunc(100*time.Millisecond, func() {
		ln, err := next.Listen("svc:echo")
		if err == nil {
			go acceptEcho(ln)
		}
	})
	must(t, exchange(l.dial(client, "svc:echo"), 1000))
	if refused.get(sal.TypeRefuse) == 0 {
		t.Error("nobody refused: the test tests nothing")
	}
}

// TestCloseFinishesHandshakes: a dial that was answered before Close counts as
// connected, though its third packet comes after.
func TestCloseFinishesHandshakes(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	l.delay(1, 2, 50*time.Millisecond)
	client, server := l.node(1), l.node(2)
	ln := l.echo(server, "svc:echo")
	answered := make(chan error, 1)
	go func() {
		c, err := client.Dial("svc:echo")
		if err == nil {
			err = errors.Join(ask(c, "request"), c.Close())
		}
		answered <- err
	}()
	eventually(t, "the SYN is answered", func() bool { return ln.census.answered() > 0 })
	must(t, ln.Close())
	must(t, <-answered)
}

// TestShutdownWaits: Shutdown lets accepted connections come to their end, Close
// does not.
func TestShutdownWaits(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, server := l.node(1), l.node(2)
	l.echo(server, "svc:echo")
	c := l.dial(client, "svc:echo")
	must(t, ask(c, "before"))
	down := make(chan error, 1)
	go func() { down <- server.Shutdown(t.Context()) }()
	eventually(t, "the instance is withdrawn", func() bool { return !l.isKnown("svc:echo", server) })
	time.Sleep(farewell)
	must(t, ask(c, "during"))
	must(t, c.CloseWrite())
	if _, err := io.Copy(io.Discard, c); err != nil {
		t.Errorf("the connection ended with %v", err)
	}
	must(t, c.Close())
	must(t, <-down)

	second := l.node(3)
	l.echo(second, "svc:second")
	d := l.dial(client, "svc:second")
	defer d.Close()
	must(t, ask(d, "before"))
	must(t, second.Close())
	if _, err := d.Read(make([]byte, 1)); !errors.Is(err, ErrReset) {
		t.Errorf("after Close the connection reads %v", err)
	}
}

// moody is a registrar that sometimes cannot register anything.
type moody struct {
	*book
	down atomic.Bool
}

func (m *moody) Register(ctx context.Context, r resolver.Registration) (resolver.Lease, error) {
	if m.down.Load() {
		return nil, errors.New("the registrar is away")
	}
	return m.book.Register(ctx, r)
}

// TestResumeIsTriedAgain: an instance whose registrar is away when it resumes is
// registered when that is back.
func TestResumeIsTriedAgain(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	m := &moody{book: l.book}
	server := l.nodeWith(Config{Resolver: m}, ip(1))
	ln := l.echo(server, "svc:echo")
	must(t, ln.Suspend(t.Context()))
	m.down.Store(true)
	if err := ln.Resume(t.Context()); err == nil || l.isKnown("svc:echo", server) {
		t.Fatalf("Resume returned %v while the registrar was away", err)
	}
	m.down.Store(false)
	eventually(t, "the instance is registered", func() bool { return l.isKnown("svc:echo", server) })
	t.Run("NotIfSuspendedMeanwhile", func(t *testing.T) {
		must(t, ln.Suspend(t.Context()))
		m.down.Store(true)
		if err := ln.Resume(t.Context()); err == nil {
			t.Error("Resume without a registrar")
		}
		must(t, ln.Suspend(t.Context()))
		m.down.Store(false)
		time.Sleep(enrolRetry + 100*time.Millisecond)
		if l.isKnown("svc:echo", server) {
			t.Error("a suspended instance was registered")
		}
	})
}
