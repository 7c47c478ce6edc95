package seal

// updateAfter is how many packets one key seals before NeedsUpdate asks for the
// next. RFC 9001 appendix B.1 allows AES-128-GCM 2^23 packets of up to 64 KiB
// for an advantage of at most 2^-57. ChaCha20-Poly1305 has no such limit, but
// follows the same rule: it costs nothing and bounds what a stolen key opens.
const updateAfter = 1 << 23

// Sealer seals the packets of one direction of one flow. It is not safe for
// concurrent use.
type Sealer struct {
	key    key
	nonce  [ivSize]byte // here, so that Seal does not allocate it
	secret [32]byte     // flow[n] of the current key
	suite  Suite
	phase  byte
	first  uint64 // first packet number that belongs to the current key
	next   uint64 // one past the largest packet number sealed
}

// NewSealer returns the Sealer of flow number flow of a connection. The secret
// is the connection's secret for this direction.
func NewSealer(s Suite, secret [32]byte, flow uint8) *Sealer {
	f := flowSecret(&secret, flow)
	return &Sealer{key: newKey(s, &f), secret: f, suite: s}
}

// Seal appends the encrypted plaintext and its tag to dst and returns the
// extended slice. The header hdr is authenticated, not encrypted. Each pn may be
// used once only. Where dst has room for len(plaintext)+Overhead, Seal does not
// allocate. Plaintext may be dst's own spare capacity (sealing in place) but must
// not overlap it otherwise.
func (s *Sealer) Seal(dst, hdr, plaintext []byte, pn uint64) []byte {
	s.next = max(s.next, pn+1)
	s.key.nonce(&s.nonce, pn)
	return s.key.aead.Seal(dst, s.nonce[:], plaintext, hdr)
}

// Phase returns the key phase bit, 0 or 1, for the header of the next packet.
func (s *Sealer) Phase() byte { return s.phase }

// NeedsUpdate reports whether the packet about to be sealed as pn should use a
// new key. The owner then calls Update, as soon as MayUpdate allows it.
func (s *Sealer) NeedsUpdate(pn uint64) bool { return pn-s.first >= updateAfter && pn >= s.first }

// MayUpdate reports whether Update may be called when the peer has acknowledged
// packet number largestAcked of this flow: it must have seen the current key
// first, for the phase is one bit and it could not tell two updates from none.
func (s *Sealer) MayUpdate(largestAcked uint64) bool {
	return s.next > s.first && largestAcked >= s.first
}

// Update moves to the next key. The previous one is forgotten.
func (s *Sealer) Update() {
	s.secret = [32]byte(expand(&s.secret, labelUpdate, 32))
	s.key = newKey(s.suite, &s.secret)
	s.phase ^= 1
	s.first = s.next
}
