package seal

import "errors"

// ErrAuth means that a packet is not authentic: forged, damaged, or of a key
// that is gone. The packet must be dropped without further effect.
var ErrAuth = errors.New("packet failed authentication: drop it")

// ErrForgeries means that so many forged packets were tried on one key that the
// next could succeed (RFC 9001 section 6.6). The connection must be closed.
var ErrForgeries = errors.New("too many forged packets for one key: close the connection")

const (
	// keepPrevious is how many packets the current key opens before the previous
	// key is forgotten. A packet that arrives later still counts as lost: at 1
	// Gbit/s this is about 0.15 s of reordering.
	keepPrevious = 1 << 14
	// maxForged is the limit for ChaCha20-Poly1305, the lower of the two suites'.
	maxForged = 1 << 36
)

// Opener opens the packets of one direction of one flow, following the peer's
// key updates. It is not safe for concurrent use.
type Opener struct {
	cur    key
	nonce  [ivSize]byte // here, so that Open does not allocate it
	secret [32]byte     // flow[n] of cur
	suite  Suite
	phase  byte
	first  uint64 // smallest packet number opened with cur
	opened uint32 // packets opened with cur, counted up to keepPrevious
	forged uint64

	prev *key   // flow[n-1], for late packets; nil most of the time
	next *rekey // flow[n+1], built when a packet first claims it
}

// rekey is a generation that a packet claimed but none has proved yet.
type rekey struct {
	key    key
	secret [32]byte
}

// NewOpener returns the Opener of flow number flow of a connection. The secret
// is the peer's secret for sending.
func NewOpener(s Suite, secret [32]byte, flow uint8) *Opener {
	f := flowSecret(&secret, flow)
	return &Opener{cur: newKey(s, &f), secret: f, suite: s}
}

// Open decrypts ciphertext, appends the plaintext to dst and returns the
// extended slice, or ErrAuth or ErrForgeries. Phase is the key phase bit of the
// packet's header hdr, pn its full packet number. A packet of the other phase
// tries the next key, and only if it is authentic does the Opener move to that
// key. Duplicates open again: the caller keeps the replay window. Where dst has
// room, Open does not allocate; dst may be ciphertext[:0] to decrypt in place,
// which also destroys the ciphertext when it returns an error.
func (o *Opener) Open(dst, hdr, ciphertext []byte, pn uint64, phase byte) ([]byte, error) {
	if o.forged >= maxForged {
		return nil, ErrForgeries
	}
	k := &o.cur
	late, update := false, false
	if phase != o.phase {
		// Packet numbers only grow, so a packet of the other phase below the
		// current key's first is late, and one above it announces an update.
		if late = pn < o.first; late {
			k = o.prev
		} else {
			update = true
			k = o.nextKey()
		}
	}
	if k == nil {
		return nil, ErrAuth // late, and its key is gone
	}
	k.nonce(&o.nonce, pn)
	out, err := k.aead.Open(dst, o.nonce[:], ciphertext, hdr)
	if err != nil {
		o.forged++
		return nil, ErrAuth
	}
	switch {
	case update:
		o.commit(pn)
	case !late:
		o.first = min(o.first, pn)
		o.age()
	}
	return out, nil
}

// nextKey builds the next generation once; forged packets cannot make it again.
func (o *Opener) nextKey() *key {
	if o.next == nil {
		s := [32]byte(expand(&o.secret, labelUpdate, 32))
		o.next = &rekey{key: newKey(o.suite, &s), secret: s}
	}
	return &o.next.key
}

// commit makes the next key current, on packet pn's word.
func (o *Opener) commit(pn uint64) {
	prev := o.cur
	o.prev, o.cur, o.secret = &prev, o.next.key, o.next.secret
	o.next = nil
	o.phase ^= 1
	o.first, o.opened, o.forged = pn, 0, 0
}

// age forgets the previous key once the current one has been in use for a while.
func (o *Opener) age() {
	if o.prev == nil {
		return
	}
	if o.opened++; o.opened >= keepPrevious {
		o.prev = nil
	}
}
