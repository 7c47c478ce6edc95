package identity

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"time"
)

// Cluster is what every member knows about its cluster: the root key that all
// certificates lead to, and the cluster's secret. It is safe for concurrent use.
type Cluster struct {
	root     ed25519.PublicKey
	secret   [32]byte
	verified signatures
}

// ID returns the cluster's ID.
func (c *Cluster) ID() ClusterID {
	sum := sha256.Sum256(c.root)
	return ClusterID(sum[:16])
}

// GossipKey returns the key that encrypts the members' gossip.
func (c *Cluster) GossipKey() [32]byte { return derive(c.secret[:], "serval gossip key") }

// Root is the key pair of a cluster, kept where the cluster was made. It is
// needed to make tokens and for nothing else.
type Root struct {
	cluster *Cluster
	key     ed25519.PrivateKey
}

// NewRoot makes a new cluster.
func NewRoot() *Root {
	var secret [32]byte
	rand.Read(secret[:]) // never fails
	return newRoot(newSigningKey(), secret)
}

func newRoot(key ed25519.PrivateKey, secret [32]byte) *Root {
	return &Root{key: key, cluster: &Cluster{root: key.Public().(ed25519.PublicKey), secret: secret}}
}

// Cluster returns the cluster that this is the root of.
func (r *Root) Cluster() *Cluster { return r.cluster }

// Grant says what a join token gives to the nodes that join with it. The zero
// value grants every service for a year.
type Grant struct {
	Rights
	// Lifetime is how long the token and all memberships made with it are valid;
	// 0 means 365 days.
	Lifetime time.Duration
	// Seeds are gossip addresses, host:port, at which a new node finds the others.
	Seeds []string
}

const (
	defaultLifetime = 365 * 24 * time.Hour
	// clockSkew is how far behind the issuer's clock a verifier's clock may be.
	clockSkew = time.Hour
)

// Grant makes a join token. It fails if a pattern or a seed is not valid, or if
// the patterns are more than a certificate holds.
func (r *Root) Grant(g Grant, now time.Time) (*Token, error) {
	rights, err := g.Rights.parse()
	if err != nil {
		return nil, err
	}
	if err := checkSeeds(g.Seeds); err != nil {
		return nil, err
	}
	if g.Lifetime == 0 {
		g.Lifetime = defaultLifetime
	}
	key := newSigningKey()
	cert := certificate{
		kind:      delegation,
		cluster:   r.cluster.ID(),
		key:       [32]byte(key.Public().(ed25519.PublicKey)),
		notBefore: now.Add(-clockSkew).Unix(),
		notAfter:  now.Add(g.Lifetime).Unix(),
		rights:    rights,
	}
	raw := cert.sign(r.key, nil)
	if len(raw) > maxDelegation {
		return nil, tooManyPatterns(len(raw) - maxDelegation)
	}
	return &Token{cluster: r.cluster, key: key, cert: raw, expires: time.Unix(cert.notAfter, 0), seeds: g.Seeds}, nil
}
