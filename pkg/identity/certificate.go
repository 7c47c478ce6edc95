package identity

import (
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"

	"github.com/serval-net/serval/pkg/sal"
)

// MaxChain is the most bytes that a chain of certificates takes: an answer to a
// first packet has to hold it and must not be three times as long as the packet.
const MaxChain = 560

const (
	certVersion = 1

	delegation byte = 1
	membership byte = 2

	maxMemberName = 32  // bytes
	maxDelegation = 264 // leaves a membership room for "*", "*" and its name
)

// certContext keeps the signature of a certificate from passing as any other.
const certContext = "serval certificate\x00"

// certificate, big endian:
//
//	version u8 = 1 | kind u8 | cluster 16 | key 32
//	| static 32, name u8 length + UTF-8               (membership only)
//	| not before u64 | not after u64                  (seconds since 1970)
//	| serve u8 count, each u8 length + pattern | dial likewise
//	| proof 64: signature with key                    (membership only)
//	| signature 64: with the issuer's key
//
// Both signatures cover everything before them, with certContext in front.
type certificate struct {
	kind      byte
	cluster   ClusterID
	key       [32]byte // the holder's Ed25519 public key
	static    [32]byte // the holder's X25519 public key
	name      string
	notBefore int64
	notAfter  int64
	rights    rights

	raw []byte // as parsed
}

func (c *certificate) append(b []byte) []byte {
	b = append(b, certVersion, c.kind)
	b = append(b, c.cluster[:]...)
	b = append(b, c.key[:]...)
	if c.kind == membership {
		b = append(b, c.static[:]...)
		b = appendString(b, c.name)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(c.notBefore))
	b = binary.BigEndian.AppendUint64(b, uint64(c.notAfter))
	b = appendPatterns(b, c.rights.serve)
	return appendPatterns(b, c.rights.dial)
}

// sign returns the encoded certificate, signed by the issuer and, if it is a
// membership, by its holder.
func (c *certificate) sign(issuer, holder ed25519.PrivateKey) []byte {
	b := c.append([]byte(certContext))
	if c.kind == membership {
		b = append(b, ed25519.Sign(holder, b)...)
	}
	b = append(b, ed25519.Sign(issuer, b)...)
	return b[len(certContext):]
}

// parseCertificate reads one certificate and returns what follows it. It does
// not check signatures or dates.
func parseCertificate(b []byte) (*certificate, []byte, error) {
	s := cryptobyte.String(b)
	c := &certificate{}
	var version uint8
	if !s.ReadUint8(&version) || !s.ReadUint8(&c.kind) {
		return nil, nil, fmt.Errorf("%w: it is cut off", ErrMalformed)
	}
	if version != certVersion {
		return nil, nil, fmt.Errorf("%w: its version is %d, this program knows %d: upgrade it", ErrMalformed, version, certVersion)
	}
	if c.kind != delegation && c.kind != membership {
		return nil, nil, fmt.Errorf("%w: its kind %d is unknown", ErrMalformed, c.kind)
	}
	member := c.kind == membership
	var notBefore, notAfter uint64
	var signature [ed25519.SignatureSize]byte
	if !s.CopyBytes(c.cluster[:]) || !s.CopyBytes(c.key[:]) ||
		member && (!s.CopyBytes(c.static[:]) || !readString(&s, &c.name, maxMemberName)) ||
		!s.ReadUint64(&notBefore) || !s.ReadUint64(&notAfter) ||
		!readPatterns(&s, &c.rights.serve) || !readPatterns(&s, &c.rights.dial) ||
		member && !s.CopyBytes(signature[:]) || !s.CopyBytes(signature[:]) {
		return nil, nil, fmt.Errorf("%w: it is cut off, or a field is too long or not valid", ErrMalformed)
	}
	c.notBefore, c.notAfter = int64(notBefore), int64(notAfter)
	if c.notBefore < 0 || c.notAfter < c.notBefore {
		return nil, nil, fmt.Errorf("%w: its dates are not in order", ErrMalformed)
	}
	if err := checkMemberName(c.name); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	c.raw = b[:len(b)-len(s)]
	return c, s, nil
}

// checkMemberName accepts what can be shown to people without harm.
func checkMemberName(name string) error {
	if len(name) > maxMemberName {
		return fmt.Errorf("node name %q is longer than %d bytes", name, maxMemberName)
	}
	if !utf8.ValidString(name) {
		return fmt.Errorf("node name %q is not UTF-8", name)
	}
	for _, r := range name {
		if !unicode.IsPrint(r) {
			return fmt.Errorf("node name %q contains a character that cannot be printed", name)
		}
	}
	return nil
}

func tooManyPatterns(by int) error {
	return fmt.Errorf("the service patterns are %d bytes too long for a certificate: use fewer, or wildcards such as shop/*", by)
}

func appendString(b []byte, s string) []byte {
	return append(append(b, byte(len(s))), s...)
}

func readString(s *cryptobyte.String, out *string, limit int) bool {
	var v cryptobyte.String
	if !s.ReadUint8LengthPrefixed(&v) || len(v) > limit {
		return false
	}
	*out = string(v)
	return true
}

func appendPatterns(b []byte, list []sal.Name) []byte {
	b = append(b, byte(len(list)))
	for _, p := range list {
		b = appendString(b, p.Path())
	}
	return b
}

// readPatterns accepts names in their canonical form only, so that a list has
// one encoding.
func readPatterns(s *cryptobyte.String, list *[]sal.Name) bool {
	var n uint8
	if !s.ReadUint8(&n) || n > maxPatterns {
		return false
	}
	*list = make([]sal.Name, n)
	for i := range *list {
		var text string
		if !readString(s, &text, 255) {
			return false
		}
		if text == everything.Path() {
			(*list)[i] = everything
			continue
		}
		name, err := sal.ParseName(text)
		if err != nil || name.Path() != text {
			return false
		}
		(*list)[i] = name
	}
	return true
}
