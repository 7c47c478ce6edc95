package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/miekg/dns"
)

// maxUpstream bounds the servers to ask; more would only be asked when all of the
// first are silent.
const maxUpstream = 8

// badFor is how long a server that did not answer comes after those that did.
const badFor = 30 * time.Second

// upstream is a server to ask.
type upstream struct {
	at    netip.AddrPort
	probe probe
	bad   time.Time // when it last failed to answer; guarded by Server.mu
}

// SetUpstream changes the servers to ask for the names that are not ours. What is
// known of those that stay is kept.
func (s *Server) SetUpstream(list []string) error {
	all, err := ParseServers(list)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var fresh []*upstream
	for _, at := range all {
		u := &upstream{at: at}
		if i := slices.IndexFunc(s.upstream, func(u *upstream) bool { return u.at == at }); i >= 0 {
			u = s.upstream[i]
		}
		fresh = append(fresh, u)
	}
	s.upstream = fresh
	return nil
}

// Upstream returns the servers that are asked, and those of them that are left out
// because what they are asked comes back to this server.
func (s *Server) Upstream() (all, loops []netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.upstream {
		all = append(all, u.at)
		if u.probe.loops || s.isSelf(u.at) {
			loops = append(loops, u.at)
		}
	}
	return all, loops
}

// order returns the servers to ask, best first: those that answered when they were
// last asked, in the order given, then those that have just failed, longest ago first.
func (s *Server) order() (list []*upstream, loops bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.upstream {
		if s.isSelf(u.at) || u.probe.loops {
			loops = true
			continue
		}
		list = append(list, u)
	}
	for _, u := range list {
		if time.Since(u.bad) > badFor {
			u.bad = time.Time{}
		}
	}
	slices.SortStableFunc(list, func(a, b *upstream) int { return a.bad.Compare(b.bad) })
	return list, loops
}

// isSelf reports whether a server is this one: s.mu is held.
func (s *Server) isSelf(at netip.AddrPort) bool {
	v4, v6 := s.cfg.Pool.Self()
	if at.Port() == 53 && (at.Addr() == v4 || at.Addr() == v6) || s.local[at] > 0 {
		return true
	}
	for l := range s.local { // that listens on all addresses; others show in probes
		if l.Addr().IsUnspecified() && l.Port() == at.Port() && at.Addr().IsLoopback() {
			return true
		}
	}
	return false
}

// noted remembers whether a server answered.
func (s *Server) noted(u *upstream, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u.bad = time.Time{}
	if !ok {
		u.bad = time.Now()
	}
}

// forward asks other servers. Each has a part of the timeout to itself; then the next
// one is asked as well, and the first good answer wins.
func (s *Server) forward(ctx context.Context, q *question) *dns.Msg {
	s.probeAll()
	list, loops := s.order()
	switch {
	case len(list) == 0 && loops:
		return q.failed(dns.ExtendedErrorCodeNoReachableAuthority, "the DNS servers that servald is to forward to ask servald themselves")
	case len(list) == 0:
		resp := q.refuse(dns.RcodeRefused)
		explain(resp, dns.ExtendedErrorCodeNotAuthoritative, "servald answers for names below svc.serval only: no DNS server is configured to forward to")
		return resp
	}
	if !s.afar.acquire(q.client) {
		s.dropped()
		return q.failed(dns.ExtendedErrorCodeOther, "too many questions wait for other DNS servers")
	}
	defer s.afar.release(q.client)
	best, err := s.race(ctx, q, list)
	if err != nil {
		s.log.Debug("no DNS server answers", "name", q.Name, "err", err)
	}
	if best.resp == nil {
		return q.failed(dns.ExtendedErrorCodeNoReachableAuthority, "no DNS server answers")
	}
	resp := q.adopt(best.resp)
	if !best.from.at.Addr().IsLoopback() {
		resp.AuthenticatedData = false // anybody on the way can have set it
	}
	s.strip(q, resp)
	return resp
}

// errPoor says that there is an answer, but one that another server may better.
var errPoor = errors.New("the server has no answer")

// heard is what a server said.
type heard struct {
	resp *dns.Msg
	err  error
	from *upstream
}

// race asks servers, each a while after the one before or once that has failed. If
// none has a good answer, it returns a poor one, if there is one, and the error.
func (s *Server) race(ctx context.Context, q *question, list []*upstream) (heard, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*s.cfg.Timeout)
	answers := make(chan heard, len(list)) // all of them fit: nobody waits to be heard
	next, running := 0, 0
	ask := func() {
		u := list[next]
		next++
		running++
		go func() {
			resp, err := s.ask(ctx, q, u)
			answers <- heard{resp, err, u}
		}()
	}
	defer func() {
		cancel()
		for ; running > 0; running-- {
			<-answers
		}
	}()
	var poor heard
	var errs []error
	stagger := s.cfg.Timeout / 3
	timer := time.NewTimer(stagger)
	defer timer.Stop()
	ask()
	for {
		select {
		case h := <-answers:
			running--
			if h.err == nil {
				return h, nil
			}
			errs = append(errs, fmt.Errorf("%v: %w", h.from.at, h.err))
			if poor.resp == nil {
				poor = h
			}
		case <-timer.C:
		}
		switch {
		case next < len(list):
			ask()
			timer.Reset(stagger)
		case running > 0:
		default:
			return poor, errors.Join(errs...)
		}
	}
}

// ask asks one server. The error is errPoor if it answers that it cannot answer.
func (s *Server) ask(ctx context.Context, q *question, u *upstream) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	m := q.upward()
	resp, err := exchange(ctx, q.network(), u.at, m)
	if err != nil && q.tcp && ctx.Err() == nil {
		resp, err = exchange(ctx, "udp", u.at, m) // some have no TCP; the answer mostly fits
	}
	if err == nil && m.IsEdns0() != nil && (resp.Rcode == dns.RcodeFormatError || resp.Rcode == dns.RcodeNotImplemented) {
		m.Extra = nil // it is older than EDNS
		resp, err = exchange(ctx, q.network(), u.at, m)
	}
	switch {
	case err == nil:
		s.noted(u, true)
	case ctx.Err() == context.Canceled: // another was merely faster
		return nil, err
	default:
		s.noted(u, false)
		s.probeSoon(u)
		return nil, err
	}
	switch resp.Rcode {
	case dns.RcodeSuccess, dns.RcodeNameError, dns.RcodeYXDomain:
		return resp, nil
	}
	return resp, fmt.Errorf("%w: %s", errPoor, dns.RcodeToString[resp.Rcode])
}

func (q *question) network() string {
	if q.tcp {
		return "tcp"
	}
	return "udp"
}

// upward is the question as another server is asked: without what concerns only the
// client and this server.
func (q *question) upward() *dns.Msg {
	m := new(dns.Msg)
	m.Id = dns.Id()
	m.RecursionDesired, m.CheckingDisabled, m.AuthenticatedData = q.RecursionDesired, q.CheckingDisabled, q.AuthenticatedData
	m.Question = []dns.Question{q.Question}
	if opt := q.IsEdns0(); opt != nil {
		m.SetEdns0(maxUDP, opt.Do())
	}
	return m
}

// adopt makes the answer of another server one to the client.
func (q *question) adopt(from *dns.Msg) *dns.Msg {
	resp := q.reply()
	resp.Rcode = from.Rcode
	resp.RecursionAvailable, resp.AuthenticatedData, resp.Truncated = from.RecursionAvailable, from.AuthenticatedData, from.Truncated
	resp.Answer, resp.Ns = from.Answer, from.Ns
	opt := resp.IsEdns0()
	resp.Extra = nil
	for _, r := range from.Extra {
		if o, is := r.(*dns.OPT); !is {
			resp.Extra = append(resp.Extra, r)
		} else if opt != nil {
			for _, e := range o.Option {
				if e.Option() == dns.EDNS0EDE {
					opt.Option = append(opt.Option, e)
				}
			}
		}
	}
	if opt != nil {
		resp.Extra = append(resp.Extra, opt)
	} else if resp.Rcode > 15 {
		resp.Rcode = dns.RcodeServerFailure // there is no room for it without EDNS
	}
	return resp
}

// exchange sends a question to a server from a port of its own and waits for the
// answer to it. What else arrives by UDP is ignored: anybody can send it.
func exchange(ctx context.Context, network string, at netip.AddrPort, m *dns.Msg) (*dns.Msg, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, network, at.String())
	if err != nil {
		return nil, err
	}
	conn := &dns.Conn{Conn: c, UDPSize: largestUDP}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := conn.WriteMsg(m); err != nil {
		return nil, err
	}
	for {
		resp, err := conn.ReadMsg()
		if err != nil && (network != "udp" || resp == nil && isNet(err)) {
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			return nil, err
		}
		if err == nil && answers(m, resp) {
			return resp, nil
		}
		if network != "udp" {
			return nil, errors.New("it answers something else than it was asked")
		}
	}
}

// isNet reports whether an error is that of a socket, rather than of what it got.
func isNet(err error) bool {
	var n net.Error
	return errors.As(err, &n) || errors.Is(err, net.ErrClosed)
}

// answers reports whether a message is the answer to a question.
func answers(m, resp *dns.Msg) bool {
	if !resp.Response || resp.Id != m.Id || resp.Opcode != m.Opcode {
		return false
	}
	if len(resp.Question) == 0 {
		return resp.Rcode != dns.RcodeSuccess // some leave it out when they refuse
	}
	a, b := m.Question[0], resp.Question[0]
	return len(resp.Question) == 1 && a.Qtype == b.Qtype && a.Qclass == b.Qclass && dns.CanonicalName(a.Name) == dns.CanonicalName(b.Name)
}
