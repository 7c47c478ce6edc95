package identity

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"golang.org/x/crypto/cryptobyte"
)

// Token admits nodes to a cluster. It is a secret: whoever has it can join, and
// read the cluster's gossip, until it expires.
type Token struct {
	cluster *Cluster
	key     ed25519.PrivateKey // of the delegation
	cert    []byte             // the delegation
	expires time.Time
	seeds   []string
}

// Cluster returns the cluster that the token is for.
func (t *Token) Cluster() *Cluster { return t.cluster }

// Seeds returns gossip addresses, host:port, at which other nodes can be found.
func (t *Token) Seeds() []string { return t.seeds }

// Expires returns when the token, and all memberships made with it, end.
func (t *Token) Expires() time.Time { return t.expires }

// Member is what a node chooses for itself when it joins. The zero value takes
// all that the token grants.
type Member struct {
	Rights        // within what the token grants; names outside it stay forbidden
	Name   string // a label for people, such as the host's name; up to 32 bytes, shown to peers
}

// Join admits a new node, with new keys, to the token's cluster. The error says
// what is wrong and wraps ErrExpired if the token has expired.
func (t *Token) Join(m Member, now time.Time) (*Identity, error) {
	chosen, err := m.Rights.parse()
	if err != nil {
		return nil, err
	}
	return t.admit(newSigningKey(), newStaticKey(), m.Name, chosen, now)
}

func (t *Token) admit(key ed25519.PrivateKey, static *ecdh.PrivateKey, name string, chosen rights, now time.Time) (*Identity, error) {
	if now.After(t.expires) {
		return nil, t.expiredError()
	}
	if err := checkMemberName(name); err != nil {
		return nil, err
	}
	cert := membershipFor(t.cluster, key, static, name, chosen, now, t.expires.Unix())
	chain := append(t.cert[:len(t.cert):len(t.cert)], cert.sign(t.key, key)...)
	if len(chain) > MaxChain {
		return nil, tooManyPatterns(len(chain) - MaxChain)
	}
	return newIdentity(t.cluster, key, static, chain)
}

// String returns the token as text that ParseToken reads: one word that starts
// with "serval1". The text is as secret as the token.
func (t *Token) String() string {
	b := append([]byte(nil), t.cluster.root...)
	b = append(b, t.cluster.secret[:]...)
	b = append(b, t.key.Seed()...)
	b = append(b, t.cert...)
	b = append(b, byte(len(t.seeds)))
	for _, s := range t.seeds {
		b = appendString(b, s)
	}
	return tokenArmor.encode(b)
}

// ParseToken reads the text of a token; white space in it is ignored. It fails
// if the text is no token, is cut off (ErrTruncated), was changed (ErrAltered)
// or is not what the cluster's root signed (ErrForged). An expired token is
// read: Join refuses it.
func ParseToken(text string) (*Token, error) {
	body, err := tokenArmor.decode(text)
	if err != nil {
		return nil, err
	}
	s := cryptobyte.String(body)
	var root, secret, seed [32]byte
	if !s.CopyBytes(root[:]) || !s.CopyBytes(secret[:]) || !s.CopyBytes(seed[:]) {
		return nil, errTokenBody
	}
	cert, rest, err := parseCertificate(s)
	if err != nil {
		return nil, fmt.Errorf("the join token is damaged: %w", err)
	}
	seeds, ok := readSeeds(rest)
	if !ok {
		return nil, errTokenBody
	}
	t := &Token{
		cluster: &Cluster{root: root[:], secret: secret},
		key:     ed25519.NewKeyFromSeed(seed[:]),
		cert:    cert.raw,
		expires: time.Unix(cert.notAfter, 0),
		seeds:   seeds,
	}
	if err := t.cluster.verifyDelegation(cert); err != nil {
		return nil, fmt.Errorf("the join token is not usable: %w", err)
	}
	if [32]byte(t.key.Public().(ed25519.PublicKey)) != cert.key {
		return nil, fmt.Errorf("the join token is not usable: %w: the delegation is for another key", ErrForged)
	}
	return t, nil
}

var errTokenBody = errors.New("the join token does not hold what one should: it was made by another program, ask for a new one")

const (
	maxSeeds   = 8
	maxSeedLen = 100 // bytes
)

func readSeeds(s cryptobyte.String) ([]string, bool) {
	var n uint8
	if !s.ReadUint8(&n) || n > maxSeeds {
		return nil, false
	}
	var seeds []string
	for range n {
		var seed string
		if !readString(&s, &seed, maxSeedLen) || checkSeeds([]string{seed}) != nil {
			return nil, false
		}
		seeds = append(seeds, seed)
	}
	return seeds, s.Empty()
}

func checkSeeds(seeds []string) error {
	if len(seeds) > maxSeeds {
		return fmt.Errorf("%d gossip seeds: a token holds at most %d", len(seeds), maxSeeds)
	}
	for _, s := range seeds {
		host, port, err := net.SplitHostPort(s)
		if n, perr := strconv.ParseUint(port, 10, 16); err != nil || perr != nil || n == 0 || host == "" || len(s) > maxSeedLen {
			return fmt.Errorf("gossip seed %q is not valid: write host:port, at most %d bytes", s, maxSeedLen)
		}
	}
	return nil
}
