package identity

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/sal"
)

func TestExpiredCertificate(t *testing.T) {
	root := NewRoot()
	id := mustJoin(t, mustGrant(t, root, Grant{Lifetime: time.Hour}), Member{})
	c := root.Cluster()
	for _, tt := range []struct {
		at   time.Duration
		want error
	}{
		{-clockSkew - time.Second, ErrNotYetValid},
		{-clockSkew, nil},
		{time.Hour, nil},
		{time.Hour + time.Second, ErrExpired}, // its signatures are in the cache by now
	} {
		if _, err := c.Verify(id.Chain(), now.Add(tt.at)); !errors.Is(err, tt.want) {
			t.Errorf("at %v: error = %v, want %v", tt.at, err, tt.want)
		}
	}
}

// TestTamperedChain: not one bit of a chain may change, before or after the
// good chain has been cached.
func TestTamperedChain(t *testing.T) {
	root := NewRoot()
	id := mustJoin(t, mustGrant(t, root, Grant{}), Member{Name: "n"})
	for i := range 8 * len(id.Chain()) {
		chain := bytes.Clone(id.Chain())
		chain[i/8] ^= 1 << (i % 8)
		if _, err := root.Cluster().Verify(chain, now); err == nil {
			t.Fatalf("bit %d of byte %d does not count", i%8, i/8)
		}
	}
	for n := range id.Chain() {
		if _, err := root.Cluster().Verify(id.Chain()[:n], now); err == nil {
			t.Fatalf("the first %d bytes verify", n)
		}
	}
	_, err := root.Cluster().Verify(append(bytes.Clone(id.Chain()), 0), now)
	wantErr(t, err, ErrMalformed)
}

func TestWrongCluster(t *testing.T) {
	a, b := NewRoot(), NewRoot()
	id := mustJoin(t, mustGrant(t, a, Grant{}), Member{})
	_, err := b.Cluster().Verify(id.Chain(), now)
	wantErr(t, err, ErrWrongCluster, a.Cluster().ID().Short(), b.Cluster().ID().Short())
}

// TestForgedRoot: a delegation that names our cluster, signed by another root.
func TestForgedRoot(t *testing.T) {
	real, fake := NewRoot(), NewRoot()
	fake.cluster.root = real.cluster.root // so that it writes our cluster's ID
	token := mustGrant(t, fake, Grant{})
	_, err := token.Join(Member{}, now)
	wantErr(t, err, ErrForged)
}

// TestStolenNodeKey: the holder of a token cannot certify another node's key
// together with an X25519 key of its own, and so take that node's place.
func TestStolenNodeKey(t *testing.T) {
	root := NewRoot()
	token := mustGrant(t, root, Grant{})
	victim := mustJoin(t, token, Member{})
	cert := certificate{
		kind:      membership,
		cluster:   root.Cluster().ID(),
		key:       [32]byte(victim.key.Public().(ed25519.PublicKey)),
		static:    [32]byte(newStaticKey().PublicKey().Bytes()),
		notBefore: now.Unix(),
		notAfter:  now.Add(time.Hour).Unix(),
		rights:    rights{serve: []sal.Name{sal.MustParseName("*")}},
	}
	chain := append(bytes.Clone(token.cert), cert.sign(token.key, newSigningKey())...)
	_, err := root.Cluster().Verify(chain, now)
	wantErr(t, err, ErrForged)
}

// TestMemberCannotDelegate: a member cannot admit others with its own key.
func TestMemberCannotDelegate(t *testing.T) {
	root := NewRoot()
	member := mustJoin(t, mustGrant(t, root, Grant{}), Member{})
	fake := Token{cluster: root.cluster, key: member.key, cert: member.chain[len(member.chain)-200:], expires: now.Add(time.Hour)}
	if _, err := fake.Join(Member{}, now); err == nil {
		t.Error("a membership served as a delegation")
	}
	own := certificate{
		kind: delegation, cluster: root.cluster.ID(), key: [32]byte(member.key.Public().(ed25519.PublicKey)),
		notBefore: now.Unix(), notAfter: now.Add(time.Hour).Unix(),
	}
	fake.cert = own.sign(member.key, nil)
	_, err := fake.Join(Member{}, now)
	wantErr(t, err, ErrForged)
}

// TestSignatureCache: good signatures are remembered, bad ones are not, and
// memory is bounded.
func TestSignatureCache(t *testing.T) {
	root := NewRoot()
	token := mustGrant(t, root, Grant{})
	id := mustJoin(t, token, Member{})
	c := &Cluster{root: root.cluster.root}
	bad := bytes.Clone(id.Chain())
	bad[len(bad)-1] ^= 1
	_, err := c.Verify(bad, now)
	wantErr(t, err, ErrForged)
	if n := len(c.verified.young); n != 1 {
		t.Errorf("%d signatures are remembered, want that of the delegation only", n)
	}
	for range 2 {
		if _, err := c.Verify(id.Chain(), now); err != nil {
			t.Fatal(err)
		}
		if n := len(c.verified.young); n != 3 {
			t.Errorf("%d signatures are remembered, want 3", n)
		}
	}
	var s signatures
	keep := [32]byte{0xff}
	for i := range 5 * maxYoung {
		s.add([32]byte{byte(i), byte(i >> 8), byte(i >> 16)})
		if i%1000 == 0 {
			if i > 0 && !s.has(keep) {
				t.Fatal("a signature in use was forgotten")
			}
			s.add(keep)
		}
	}
	if n := len(s.young) + len(s.old); n > 2*maxYoung {
		t.Errorf("%d signatures are remembered", n)
	}
}

func FuzzVerify(f *testing.F) {
	root := NewRoot()
	id := mustJoin(f, mustGrant(f, root, Grant{Rights: Rights{Serve: []string{"web", "shop/*"}}}), Member{Name: "n"})
	f.Add(id.Chain())
	f.Add([]byte{1, 1})
	f.Fuzz(func(t *testing.T, chain []byte) {
		if _, err := root.Cluster().Verify(chain, now); err == nil && !bytes.Equal(chain, id.Chain()) {
			t.Fatal("a forged chain verifies")
		}
	})
}

// FuzzCertificate: what parses has exactly one encoding.
func FuzzCertificate(f *testing.F) {
	id := mustJoin(f, mustGrant(f, NewRoot(), Grant{Rights: Rights{Serve: []string{"web"}}}), Member{Name: "n"})
	_, member, err := parseCertificate(id.Chain())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(id.Chain())
	f.Add(member)
	f.Fuzz(func(t *testing.T, b []byte) {
		c, rest, err := parseCertificate(b)
		if err != nil {
			return
		}
		signatures := ed25519.SignatureSize
		if c.kind == membership {
			signatures *= 2
		}
		body := c.raw[:len(c.raw)-signatures]
		if again := c.append(nil); !bytes.Equal(again, body) {
			t.Fatalf("parsed %x, encodes as %x", body, again)
		}
		if len(c.raw)+len(rest) != len(b) {
			t.Fatal("bytes were lost")
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	root := NewRoot()
	chain := mustJoin(b, mustGrant(b, root, Grant{}), Member{Name: "n"}).Chain()
	b.Run("first", func(b *testing.B) {
		for range b.N {
			c := &Cluster{root: root.cluster.root}
			if _, err := c.Verify(chain, now); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("again", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			if _, err := root.Cluster().Verify(chain, now); err != nil {
				b.Fatal(err)
			}
		}
	})
}
