package identity

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	"github.com/serval-net/serval/pkg/sal"
)

// Peer is a node as its verified certificates describe it.
type Peer struct {
	Node    NodeID
	Cluster ClusterID
	Key     ed25519.PublicKey // of the node
	Static  [32]byte          // X25519 key of the node, for the Noise handshake
	Name    string            // the node's own label, for people; not unique
	Expires time.Time         // when the membership ends

	since   time.Time
	granted rights // by the delegation
	chosen  rights // by the membership
}

// MayServe reports whether the peer may serve the service. Expiry is not its
// business: see Valid.
func (p *Peer) MayServe(name sal.Name) bool {
	return covered(p.granted.serve, name) && covered(p.chosen.serve, name)
}

// MayDial reports whether the peer may dial the service.
func (p *Peer) MayDial(name sal.Name) bool {
	return covered(p.granted.dial, name) && covered(p.chosen.dial, name)
}

// Valid returns nil while the peer's certificates are valid, else an error that
// is ErrExpired or ErrNotYetValid.
func (p *Peer) Valid(now time.Time) error {
	switch {
	case now.After(p.Expires):
		return fmt.Errorf("%w: that of node %s ended on %s: join the cluster again with a new token",
			ErrExpired, p.Node.Short(), p.Expires.UTC().Format(time.DateTime))
	case now.Before(p.since):
		return fmt.Errorf("%w: that of node %s starts on %s: check both clocks",
			ErrNotYetValid, p.Node.Short(), p.since.UTC().Format(time.DateTime))
	}
	return nil
}

// VerifyRecord reports whether sig is the peer's signature of the record, made
// with Identity.Sign.
func (p *Peer) VerifyRecord(record, sig []byte) bool {
	return len(p.Key) == ed25519.PublicKeySize &&
		ed25519.Verify(p.Key, append([]byte(recordContext), record...), sig)
}

// Verify checks a chain of certificates that a peer presents, and returns who
// the peer is. The error wraps one of the Err variables. Signatures that were
// checked before are remembered, dates are checked each time.
//
// A chain proves membership, not presence: the peer must still prove that it
// holds the key Static (in a handshake) or Key (by a signed record).
func (c *Cluster) Verify(chain []byte, now time.Time) (Peer, error) {
	p, err := c.verify(chain)
	if err != nil {
		return Peer{}, err
	}
	if err := p.Valid(now); err != nil {
		return Peer{}, err
	}
	return p, nil
}

// verify is Verify without the dates.
func (c *Cluster) verify(chain []byte) (Peer, error) {
	if len(chain) > MaxChain {
		return Peer{}, fmt.Errorf("%w: the chain has %d bytes, at most %d are allowed", ErrMalformed, len(chain), MaxChain)
	}
	d, rest, err := parseCertificate(chain)
	if err != nil {
		return Peer{}, err
	}
	m, rest, err := parseCertificate(rest)
	if err != nil {
		return Peer{}, err
	}
	if d.kind != delegation || m.kind != membership || len(rest) > 0 {
		return Peer{}, fmt.Errorf("%w: a chain is one delegation and one membership", ErrMalformed)
	}
	if err := c.verifyDelegation(d); err != nil {
		return Peer{}, err
	}
	proof := m.raw[:len(m.raw)-ed25519.SignatureSize]
	if m.cluster != d.cluster || !c.verified.check(d.key, m.raw) || !c.verified.check(m.key, proof) {
		return Peer{}, fmt.Errorf("%w: the membership is not signed by the token it claims, or by the node itself", ErrForged)
	}
	key := bytes.Clone(m.key[:]) // so that a Peer does not keep the certificate
	return Peer{
		Node:    nodeID(key),
		Cluster: m.cluster,
		Key:     key,
		Static:  m.static,
		Name:    m.name,
		Expires: time.Unix(min(d.notAfter, m.notAfter), 0),
		since:   time.Unix(max(d.notBefore, m.notBefore), 0),
		granted: d.rights,
		chosen:  m.rights,
	}, nil
}

func (c *Cluster) verifyDelegation(d *certificate) error {
	if want := c.ID(); d.cluster != want {
		return fmt.Errorf("%w: the certificate is for cluster %s, this node belongs to %s", ErrWrongCluster, d.cluster.Short(), want.Short())
	}
	if d.kind != delegation || !c.verified.check([32]byte(c.root), d.raw) {
		return fmt.Errorf("%w: the delegation is not signed by the root of cluster %s", ErrForged, d.cluster.Short())
	}
	return nil
}

// signatures remembers certificate signatures that were found good, so that
// dialling a peer again costs no signature check. It keeps two generations: a
// full young one becomes the old one, and what is used moves back to the young.
// The zero value is ready to use; it is safe for concurrent use.
type signatures struct {
	mu         sync.Mutex
	young, old map[[sha256.Size]byte]struct{}
}

const maxYoung = 4096 // three signatures a chain: some 2700 peers in both, 0.5 MB

// check reports whether signed, a certificate with certContext left out, ends
// in a signature made with key over all that is before it.
func (s *signatures) check(key [32]byte, signed []byte) bool {
	h := sha256.New()
	h.Write(key[:])
	h.Write(signed)
	id := [sha256.Size]byte(h.Sum(nil))
	if s.has(id) {
		return true
	}
	end := len(signed) - ed25519.SignatureSize
	body := append([]byte(certContext), signed[:end]...)
	if !ed25519.Verify(key[:], body, signed[end:]) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.add(id)
	return true
}

func (s *signatures) has(id [sha256.Size]byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.young[id]; ok {
		return true
	}
	_, ok := s.old[id]
	if ok {
		s.add(id)
	}
	return ok
}

func (s *signatures) add(id [sha256.Size]byte) {
	if s.young == nil || len(s.young) >= maxYoung {
		s.young, s.old = make(map[[sha256.Size]byte]struct{}), s.young
	}
	s.young[id] = struct{}{}
}
