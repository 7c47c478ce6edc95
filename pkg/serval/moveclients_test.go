package serval

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"
)

// TestMoveClients: idle connections end at once, one whose client waits for an
// answer gets it, and one that never ends does after the grace. All find another
// instance.
func TestMoveClients(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, server, other := l.node(1), l.node(2), l.node(3)
	ln, err := server.Listen("svc:db")
	must(t, err)
	l.echo(other, "svc:db")

	fresh := l.dial(client, "svc:db") // said nothing yet
	_, err = ln.AcceptConn()
	must(t, err)
	idle := l.dial(client, "svc:db")
	a, err := ln.AcceptConn()
	must(t, err)
	go echoOn(a)
	must(t, ask(idle, "a query"))
	waits := l.dial(client, "svc:db")
	b, err := ln.AcceptConn()
	must(t, err)
	_, err = waits.Write([]byte("a long query"))
	must(t, err)
	_, err = io.ReadFull(b, make([]byte, 12))
	must(t, err)
	endless := l.dial(client, "svc:db")
	c, err := ln.AcceptConn()
	must(t, err)
	_, err = endless.Write([]byte("a log"))
	must(t, err)
	_, err = io.ReadFull(c, make([]byte, 5))
	must(t, err)
	eventually(t, "two are idle", func() bool {
		n := 0
		for _, k := range ln.accepted() {
			if k.isIdle(quietFor) {
				n++
			}
		}
		return n == 2
	})

	type result struct {
		m   Moved
		err error
	}
	done := make(chan result, 1)
	fewer := make(chan int, 100)
	go func() {
		m, err := ln.MoveClients(t.Context(), 4*time.Second, func(n int) { fewer <- n })
		done <- result{m, err}
	}()
	for n := range fewer {
		if n == 2 {
			break
		}
	}
	for _, conn := range []*Conn{fresh, idle} {
		_, err := conn.Read(make([]byte, 1))
		sentence(t, err, ErrReset, outOfService)
	}
	_, err = b.Write([]byte("the answer"))
	must(t, err)
	must(t, b.Close())
	if got, err := io.ReadAll(waits); string(got) != "the answer" || err != nil {
		t.Errorf("read %q, %v", got, err)
	}
	must(t, waits.Close())
	_, err = endless.Read(make([]byte, 1))
	sentence(t, err, ErrReset, outOfService)
	if r := <-done; r.err != nil || r.m != (Moved{Idle: 2, Busy: 1}) {
		t.Errorf("%+v", r)
	}
	again := l.dial(client, "svc:db")
	if got := again.PeerIdentity().Node; got != other.ID() {
		t.Errorf("the client is at %v again, want %v", got, other.ID())
	}
	must(t, ask(again, "a query"))
}

// TestMoveDatagramClients: who writes datagrams notices nothing but another
// instance.
func TestMoveDatagramClients(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, server, other := l.node(1), l.node(2), l.node(3)
	p, err := server.ListenPacket("svc:echo")
	must(t, err)
	go echoPackets(p)
	s := l.socket(client)
	_, err = tell(s, toEcho, "before")
	must(t, err)
	q, err := other.ListenPacket("svc:echo")
	must(t, err)
	go echoPackets(q)
	m, err := p.Listener().MoveClients(t.Context(), 0, nil)
	if m.Idle+m.Busy != 1 || err != nil {
		t.Errorf("moved %+v, %v", m, err)
	}
	who, err := tell(s, toEcho, "after")
	if err != nil || who != other.ID() {
		t.Errorf("%v answered, want %v; %v", who, other.ID(), err)
	}
}

// TestMoveClientsImpatient: what is open when time is up stays open, unless the
// grace is over.
func TestMoveClientsImpatient(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, server := l.node(1), l.node(2)
	ln, err := server.Listen("svc:db")
	must(t, err)
	c := l.dial(client, "svc:db")
	_, err = c.Write([]byte("a query"))
	must(t, err)
	a, err := ln.AcceptConn()
	must(t, err)
	_, err = io.ReadFull(a, make([]byte, 7))
	must(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 2*farewell)
	defer cancel()
	m, err := ln.MoveClients(ctx, time.Hour, nil)
	if sentence(t, err, context.DeadlineExceeded, "drain svc:db"); m != (Moved{}) || !ln.Retired() {
		t.Errorf("moved %+v, retired: %v", m, ln.Retired())
	}
	go echoOn(a)
	must(t, ask(c, "still here"))
	must(t, ln.Close())
	if _, err := ln.MoveClients(t.Context(), 0, nil); err == nil || !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
