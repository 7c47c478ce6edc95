// Package identity says who a node is, which cluster it belongs to and which
// services it may serve and dial.
//
// A cluster is a root key pair and a secret. The root signs delegations; a join
// token carries one together with its private key, so that whoever holds the
// token admits a node by signing a membership certificate, with nobody else
// involved:
//
//	root --signs--> delegation --signs--> membership
//	                  |                      |
//	                  which services the     a node's keys, and a narrower
//	                  token may grant        choice of services, if any
//
// A peer shows both certificates (its chain), and Cluster.Verify checks them.
// The node's own key signs its membership too: the holder of a token cannot
// claim another node's identity.
package identity

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"
	"time"
)

// NodeID names a node: the first 16 bytes of SHA-256 of its Ed25519 public key.
type NodeID [16]byte

// ClusterID names a cluster: the first 16 bytes of SHA-256 of its root public key.
type ClusterID [16]byte

var base32Lower = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// String returns the ID as 26 base32 characters in lower case.
func (n NodeID) String() string { return base32Lower.EncodeToString(n[:]) }

// Short returns the first 8 characters of String, for people to read.
func (n NodeID) Short() string { return n.String()[:8] }

// ParseNodeID is the inverse of NodeID.String. It ignores case.
func ParseNodeID(s string) (NodeID, error) {
	b, err := base32Lower.DecodeString(strings.ToLower(s))
	if err != nil || len(b) != len(NodeID{}) || !strings.EqualFold(base32Lower.EncodeToString(b), s) {
		return NodeID{}, fmt.Errorf("node ID %q is not valid: it must be 26 characters of a-z and 2-7", s)
	}
	return NodeID(b), nil
}

// String returns the ID as 26 base32 characters in lower case.
func (c ClusterID) String() string { return base32Lower.EncodeToString(c[:]) }

// Short returns the first 8 characters of String, for people to read.
func (c ClusterID) Short() string { return c.String()[:8] }

func nodeID(key ed25519.PublicKey) NodeID {
	sum := sha256.Sum256(key)
	return NodeID(sum[:16])
}

// Identity is a node's own keys and its membership of a cluster. It does not
// change once made, and is safe for concurrent use.
type Identity struct {
	cluster *Cluster
	key     ed25519.PrivateKey
	static  *ecdh.PrivateKey
	chain   []byte
	self    Peer
}

// newIdentity checks that the chain fits the keys and the cluster, but not its
// dates: an expired identity can still be read, to be renewed.
func newIdentity(c *Cluster, key ed25519.PrivateKey, static *ecdh.PrivateKey, chain []byte) (*Identity, error) {
	self, err := c.verify(chain)
	if err != nil {
		return nil, err
	}
	if !key.Public().(ed25519.PublicKey).Equal(self.Key) || [32]byte(static.PublicKey().Bytes()) != self.Static {
		return nil, errors.New("the membership certificate belongs to another node's keys: join the cluster again")
	}
	return &Identity{cluster: c, key: key, static: static, chain: chain, self: self}, nil
}

// Node returns the node's ID.
func (id *Identity) Node() NodeID { return id.self.Node }

// Cluster returns the cluster that the node is a member of.
func (id *Identity) Cluster() *Cluster { return id.cluster }

// Peer returns the identity as other nodes see it once they have verified it.
func (id *Identity) Peer() Peer { return id.self }

// Chain returns the certificates that prove the membership, for a peer's
// Cluster.Verify. The caller must not change it.
func (id *Identity) Chain() []byte { return id.chain }

// Static returns the node's X25519 key for the Noise handshake.
func (id *Identity) Static() *ecdh.PrivateKey { return id.static }

// Expires returns when the membership ends. Renew it before then.
func (id *Identity) Expires() time.Time { return id.self.Expires }

// Secret returns a secret that only this node can derive, one for each label.
// It is the same after a restart as long as the node keeps its key.
func (id *Identity) Secret(label string) [32]byte {
	return derive(id.key.Seed(), "serval node secret "+label)
}

// recordContext keeps a signed record from ever passing as a certificate.
const recordContext = "serval record\x00"

// Sign signs a record, such as a service registration, with the node's key. A
// peer checks it with Peer.VerifyRecord.
func (id *Identity) Sign(record []byte) []byte {
	return ed25519.Sign(id.key, append([]byte(recordContext), record...))
}

// Renew returns the same node, with the same keys and the same choice of
// services, admitted afresh by a token of the same cluster.
func (id *Identity) Renew(t *Token, now time.Time) (*Identity, error) {
	if t.cluster.ID() != id.cluster.ID() {
		return nil, fmt.Errorf("%w: the token is for cluster %s, this node belongs to %s: use a token of its own cluster, or a new node key",
			ErrWrongCluster, t.cluster.ID().Short(), id.cluster.ID().Short())
	}
	return t.admit(id.key, id.static, id.self.Name, id.self.chosen, now)
}

// Ephemeral returns a node in a new cluster of its own whose keys exist nowhere
// else. Other nodes can join it only if given a token of the returned root.
func Ephemeral(now time.Time) (*Identity, *Root, error) {
	root := NewRoot()
	token, err := root.Grant(Grant{}, now)
	if err != nil {
		return nil, nil, err
	}
	id, err := token.Join(Member{}, now)
	return id, root, err
}

// derive returns a key of its own for each label from a uniformly random secret.
func derive(secret []byte, label string) [32]byte {
	out, err := hkdf.Expand(sha256.New, secret, label, 32)
	if err != nil {
		panic(err) // 32 bytes is a length that HKDF can produce
	}
	return [32]byte(out)
}

func newSigningKey() ed25519.PrivateKey {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	return key
}

func newStaticKey() *ecdh.PrivateKey {
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	return key
}
