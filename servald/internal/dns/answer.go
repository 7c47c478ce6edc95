package dns

import (
	"context"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// maxUDP is how long answers by UDP may get: what passes everywhere unfragmented.
const maxUDP = 1232

// largestUDP is how long messages by UDP may be that come: some servers send more than
// they are asked to.
const largestUDP = 4096

// patience bounds the whole work on one question.
const patience = 10 * time.Second

// answer returns the answer to a question, ready to be packed.
func (s *Server) answer(ctx context.Context, q *question) *dns.Msg {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	resp := s.decide(ctx, q)
	s.finish(q, resp)
	return resp
}

// decide finds out whose question it is.
func (s *Server) decide(ctx context.Context, q *question) *dns.Msg {
	if q.Opcode != dns.OpcodeQuery {
		return q.refuse(dns.RcodeNotImplemented)
	}
	if opt := q.IsEdns0(); opt != nil && opt.Version() != 0 {
		return q.refuse(dns.RcodeBadVers)
	}
	switch q.Qtype {
	case dns.TypeAXFR, dns.TypeIXFR, dns.TypeMAILA, dns.TypeMAILB, dns.TypeOPT, dns.TypeTSIG, dns.TypeTKEY:
		return q.refuse(dns.RcodeRefused)
	}
	if q.Qclass != dns.ClassINET {
		return q.refuse(dns.RcodeRefused)
	}
	name := strings.ToLower(q.Name)
	switch {
	case dns.IsSubDomain(zone, name):
		return s.ours(ctx, q, name)
	case s.isProbe(name):
		return q.refuse(dns.RcodeNameError) // our own, which came back
	case name == canary:
		return q.refuse(dns.RcodeNameError)
	case dns.IsSubDomain("resolver.arpa.", name):
		return q.reply() // RFC 9462: it is about this resolver, which has no other form
	}
	if resp, ok := s.reverse(q, name); ok {
		return resp
	}
	if !s.trusted(q.client) {
		return q.refuse(dns.RcodeRefused)
	}
	return s.forward(ctx, q)
}

// canary is what Firefox asks for to learn whether it may send questions to somebody
// else by HTTPS, who knows no services. That it does not exist means no.
const canary = "use-application-dns.net."

// reply returns an answer without records.
func (q *question) reply() *dns.Msg {
	resp := new(dns.Msg)
	resp.SetReply(q.Msg)
	resp.RecursionAvailable = true
	if q.IsEdns0() != nil {
		resp.SetEdns0(maxUDP, false)
	}
	return resp
}

// refuse returns an answer that is nothing but a code.
func (q *question) refuse(code int) *dns.Msg {
	resp := q.reply()
	resp.Rcode = code
	return resp
}

// failed returns an answer that says that there is none, and why.
func (q *question) failed(why uint16, text string) *dns.Msg {
	resp := q.refuse(dns.RcodeServerFailure)
	explain(resp, why, text)
	return resp
}

// explain adds an extended error if the client knows of them.
func explain(resp *dns.Msg, why uint16, text string) {
	if opt := resp.IsEdns0(); opt != nil {
		opt.Option = append(opt.Option, &dns.EDNS0_EDE{InfoCode: why, ExtraText: text})
	}
}

// finish makes an answer fit.
func (s *Server) finish(q *question, resp *dns.Msg) {
	resp.Compress = true
	if opt := q.IsEdns0(); opt != nil {
		if mine := resp.IsEdns0(); mine != nil && opt.Do() {
			mine.SetDo()
		}
	}
	resp.Truncate(q.room())
}

// room is how long the answer may be.
func (q *question) room() int {
	if q.tcp {
		return dns.MaxMsgSize
	}
	if opt := q.IsEdns0(); opt != nil {
		return min(max(int(opt.UDPSize()), dns.MinMsgSize), maxUDP)
	}
	return dns.MinMsgSize
}
