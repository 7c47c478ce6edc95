package dns

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// A server to forward to may itself forward to this one, such as a local one that was
// told to: then each question goes round until nobody has patience or room for it any
// more. So each server is first asked for a name that nobody else can know. If that
// question arrives here, the server is left out, until another probe does not.

const (
	// probeZone holds the names; ".test" is nobody's (RFC 6761). They must not be in
	// our own zone, which resolvers may send here and not elsewhere.
	probeZone = ".serval-loop.test."

	probeAfter = 5 * time.Second  // after a failure, at most this often
	probeAgain = 30 * time.Second // one that loops, at most this often
)

// probe is what is known of loops through one server. Server.mu guards it.
type probe struct {
	name  string    // of the last probe, "" if there was none
	at    time.Time // when it was sent
	came  bool      // it was sent to this server
	loops bool
}

// probeAll probes the servers that never were, and those that looped a while ago.
func (s *Server) probeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.upstream {
		if u.probe.name == "" || u.probe.loops && time.Since(u.probe.at) > probeAgain {
			s.startProbe(u)
		}
	}
}

// probeSoon probes a server that does not answer: its question may be on its way round.
func (s *Server) probeSoon(u *upstream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(u.probe.at) > probeAfter {
		s.startProbe(u)
	}
}

// startProbe asks a server for a new name: s.mu is held.
func (s *Server) startProbe(u *upstream) {
	if s.closed {
		return
	}
	var b [16]byte
	rand.Read(b[:])
	u.probe.name, u.probe.at, u.probe.came = hex.EncodeToString(b[:])+probeZone, time.Now(), false
	m := new(dns.Msg)
	m.SetQuestion(u.probe.name, dns.TypeTXT)
	s.tasks.Go(func() {
		ctx, cancel := context.WithTimeout(s.ctx, s.cfg.Timeout)
		defer cancel()
		_, err := exchange(ctx, "udp", u.at, m)
		s.mu.Lock()
		defer s.mu.Unlock()
		if u.probe.name == m.Question[0].Name && err == nil && u.probe.loops && !u.probe.came {
			u.probe.loops = false
			s.log.Info("a DNS server no longer asks this one", "server", u.at)
		}
	})
}

// isProbe reports whether a name, in lower case, is one of our probes, and if so leaves
// the server out that it was sent to.
func (s *Server) isProbe(name string) bool {
	if !strings.HasSuffix(name, probeZone) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.upstream {
		if u.probe.name != name {
			continue
		}
		u.probe.came = true
		if !u.probe.loops {
			u.probe.loops = true
			s.log.Warn("a DNS server that is to be forwarded to asks this very server: it is left out", "server", u.at)
		}
		return true
	}
	return false
}
