package identity

import (
	"bytes"
	"crypto/ecdh"
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"time"
)

// A process without a token becomes a member through one that has it, such as
// the daemon of its host, in two requests:
//
//	empty                      -> terms: root public key 32 | end u64
//	certificate without the
//	issuer's signature         -> chain
//
// The keys never leave the process that asks.
const termsLen = ed25519.PublicKeySize + 8

// Request becomes a member of a cluster through the holder of a token: ask
// hands a request to Token.Certify there and returns its answer. The identity
// can dial and serve, but not gossip: that takes the cluster's secret, which is
// not part of the answer.
func Request(m Member, now time.Time, ask func(request []byte) ([]byte, error)) (*Identity, error) {
	chosen, err := m.Rights.parse()
	if err != nil {
		return nil, err
	}
	if err := checkMemberName(m.Name); err != nil {
		return nil, err
	}
	terms, err := ask(nil)
	if err != nil {
		return nil, err
	}
	if len(terms) != termsLen {
		return nil, fmt.Errorf("%w: the answer to a request for a membership has %d bytes instead of %d", ErrMalformed, len(terms), termsLen)
	}
	cluster := &Cluster{root: ed25519.PublicKey(bytes.Clone(terms[:ed25519.PublicKeySize]))}
	key, static := newSigningKey(), newStaticKey()
	cert := membershipFor(cluster, key, static, m.Name, chosen, now,
		int64(binary.BigEndian.Uint64(terms[ed25519.PublicKeySize:])))
	body := cert.append([]byte(certContext))
	body = append(body, ed25519.Sign(key, body)...)
	chain, err := ask(body[len(certContext):])
	if err != nil {
		return nil, err
	}
	return newIdentity(cluster, key, static, chain)
}

// Certify answers a process that becomes a member by Request. The caller
// decides who may ask.
func (t *Token) Certify(request []byte, now time.Time) ([]byte, error) {
	if now.After(t.expires) {
		return nil, t.expiredError()
	}
	if len(request) == 0 {
		terms := bytes.Clone(t.cluster.root)
		return binary.BigEndian.AppendUint64(terms, uint64(t.expires.Unix())), nil
	}
	signed := append([]byte(certContext), request...)
	signed = append(signed, ed25519.Sign(t.key, signed)...)
	chain := append(t.cert[:len(t.cert):len(t.cert)], signed[len(certContext):]...)
	if len(chain) > MaxChain {
		return nil, tooManyPatterns(len(chain) - MaxChain)
	}
	// Verify checks everything: what the request says, and the proof that it
	// comes from the holder of the key.
	if _, err := t.cluster.Verify(chain, now); err != nil {
		return nil, fmt.Errorf("the request for a membership is not valid: %w", err)
	}
	return chain, nil
}

func membershipFor(c *Cluster, key ed25519.PrivateKey, static *ecdh.PrivateKey, name string, chosen rights, now time.Time, end int64) certificate {
	return certificate{
		kind:      membership,
		cluster:   c.ID(),
		key:       [32]byte(key.Public().(ed25519.PublicKey)),
		static:    [32]byte(static.PublicKey().Bytes()),
		name:      name,
		notBefore: now.Add(-clockSkew).Unix(),
		notAfter:  end,
		rights:    chosen,
	}
}

func (t *Token) expiredError() error {
	return fmt.Errorf("%w: the join token ended on %s: ask for a new one where the cluster was made",
		ErrExpired, t.expires.UTC().Format(time.DateTime))
}
