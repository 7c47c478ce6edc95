package serval

import (
	"context"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/sal"
)

// rebinds is how often a datagram is given to another instance when the
// connection to the one chosen has just ended.
const rebinds = 3

// WriteTo sends b to whom an *Addr stands for. That which ReadFrom returned is
// the one who wrote, and that of Bind an instance. One of a Service alone is any
// instance: each datagram's is chosen anew, as that of a dial is. With Instance
// too, it is that instance.
//
// Port, if it is not 0, is the service's port that the datagram is for, and in an
// answer that it is from: another than what ReadFrom returned, if one likes. It
// takes Dialer.Port on the dialling side.
//
// The first datagram to an instance opens a connection, which takes a round trip.
// If the instance does not answer, another takes its place, as for a dial.
func (p *PacketConn) WriteTo(b []byte, to net.Addr) (int, error) {
	a, ok := to.(*Addr)
	if !ok {
		return 0, &OpError{Op: "write", Service: to.String(), Err: because(ErrNoService, "the address is a %T; use the *serval.Addr that ReadFrom returned, or one with a Service", to)}
	}
	if a.link != nil {
		err := a.link.sendDatagram(b, a.Port)
		if err == nil {
			return len(b), nil
		}
		if a.Service == "" || !a.link.over() {
			return 0, a.link.wrap("write", err)
		}
	}
	if err := p.writeTo(b, a); err != nil {
		return 0, err
	}
	return len(b), nil
}

// writeTo sends b to a service or an instance of it.
func (p *PacketConn) writeTo(b []byte, a *Addr) error {
	if a.Instance == anyNode {
		if l := p.quick(a.Service); l != nil {
			if err := l.sendDatagram(b, a.Port); err == nil || !l.over() {
				return l.wrap("write", err)
			}
		}
	}
	for again := 0; ; again++ {
		l, err := p.reach(context.Background(), a.Service, a.Instance)
		if err != nil {
			return err
		}
		if err = l.sendDatagram(b, a.Port); err == nil {
			return nil
		}
		if again == rebinds || !l.over() {
			return l.wrap("write", err)
		}
	}
}

// Bind chooses an instance of a service, as for a datagram, connects to it, and
// returns an address that stands for it from then on: for protocols that talk
// to one peer, such as QUIC. The connection is kept for 10 minutes unused; later
// it is opened anew.
func (p *PacketConn) Bind(ctx context.Context, service string) (*Addr, error) {
	l, err := p.reach(ctx, service, anyNode)
	if err != nil {
		return nil, err
	}
	l.endWhenIdle(boundIdle)
	a := l.remoteAddr()
	a.link = l
	return a, nil
}

// WriteAll sends b to every instance of a service that is known, and returns how
// many it left for. The error, if not nil, is about the others. Those to which
// there is no connection are dialled all at once; ctx bounds how long the silent
// ones among them are waited for.
func (p *PacketConn) WriteAll(ctx context.Context, service string, b []byte) (n int, err error) {
	fail := func(err error) (int, error) { return n, &OpError{Op: "write", Service: service, Err: err} }
	name, list, err := p.resolve(service, p.want.choice)
	if err != nil {
		return fail(err)
	}
	each := make(map[instanceKey][]candidate)
	for _, c := range list {
		each[c.key(name)] = append(each[c.key(name)], c)
	}
	if len(each) > p.instances.most {
		return fail(fmt.Errorf("there are %d instances, and at most %d can be written to", len(each), p.instances.most))
	}
	type to struct {
		s   *instance
		key instanceKey
		w   want
	}
	var open, dialling []to
	failed := 0
	for key, list := range each {
		w := p.want
		w.ask, w.fixed = list, true
		s, e := p.instances.get(key, w)
		switch {
		case e != nil:
			failed, err = failed+1, e
		case s.dialled() != nil:
			open = append(open, to{s, key, w})
		default:
			dialling = append(dialling, to{s, key, w})
		}
	}
	for _, t := range append(open, dialling...) {
		l, e := p.connected(ctx, t.s, t.key, t.w)
		if e == nil {
			e = l.sendDatagram(b, 0)
		}
		if e != nil {
			failed, err = failed+1, e
			continue
		}
		n++
	}
	if err != nil {
		return fail(fmt.Errorf("%d of %d instances could not be reached: %w", failed, len(each), err))
	}
	return n, nil
}

// resolve lists the addresses of a service, best first.
func (p *PacketConn) resolve(service string, w choice) (sal.Name, []candidate, error) {
	name, err := sal.ParseName(service)
	if err != nil {
		return name, nil, err
	}
	if name.IsWildcard() {
		return name, nil, fmt.Errorf("%v stands for many services and can only be served; write to one service below it", name)
	}
	list, err := p.node.candidates(p.instances.ctx, name, w)
	return name, list, err
}

// reach returns the connection to an instance of a service, to the one on a node
// unless that is zero, and opens it if there is none.
func (p *PacketConn) reach(ctx context.Context, service string, node identity.NodeID) (*link, error) {
	w := p.want
	if node != anyNode {
		w.choice.only = node
	}
	name, list, err := p.resolve(service, w.choice)
	if err != nil {
		return nil, &OpError{Op: "write", Service: service, Err: err}
	}
	w.ask = p.choose(name, list)
	key := w.ask[0].key(name)
	if only := w.choice.only; only != anyNode {
		key, w.fixed = instanceKey{service: name, node: only}, true
	}
	s, err := p.instances.get(key, w)
	if err == nil {
		if node == anyNode {
			p.draws.note(service, key, time.Now())
		}
		var l *link
		if l, err = p.connected(ctx, s, key, w); err == nil {
			return l, nil
		}
	}
	if p.instances.ctx.Err() != nil {
		err = net.ErrClosed
	}
	if _, ok := err.(*OpError); ok {
		return nil, err
	}
	return nil, &OpError{Op: "write", Service: service, Err: err}
}

// choose returns the candidates with those last to which there is a connection
// that has fallen silent, and tells of them, and when they are back.
func (p *PacketConn) choose(name sal.Name, list []candidate) []candidate {
	var last []candidate
	for len(list) > 0 {
		key := list[0].key(name)
		silent, news := p.instances.silent(key)
		if news && silent {
			p.node.health.silent(list[0].addr)
		} else if news {
			p.node.health.answered(list[0].addr)
		}
		if news {
			p.node.report(&list[0], !silent)
		}
		if !silent {
			break
		}
		last, list = append(last, list[0]), list[1:]
	}
	return append(list, last...)
}

// connected waits for a connection. If the dial was under way already, and another
// one than what is wanted answered it, there is another.
func (p *PacketConn) connected(ctx context.Context, s *instance, key instanceKey, w want) (*link, error) {
	l, err := p.await(ctx, s)
	if err == nil && w.fixed && s.standsIn(key) {
		if s, err = p.instances.get(key, w); err == nil {
			l, err = p.await(ctx, s)
		}
	}
	return l, err
}

// await waits for a connection: until it is open, ctx or the write deadline ends,
// or the PacketConn does.
func (p *PacketConn) await(ctx context.Context, s *instance) (*link, error) {
	select {
	case <-s.ready:
		return s.link, s.err
	default:
	}
	select {
	case <-s.ready:
		return s.link, s.err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-p.writing.wait():
		return nil, os.ErrDeadlineExceeded
	case <-p.ended:
		return nil, net.ErrClosed
	}
}
