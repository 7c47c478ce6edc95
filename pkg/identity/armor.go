package identity

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"unicode"
)

// armor is a kind of secret written as text, so that it survives a mail, a
// chat, a shell and a YAML file, and damage is noticed and named:
//
//	prefix | base64url(0 | length of body u16 | body | checksum 4)
//
// The checksum is the start of SHA-256(prefix | what is before it).
type armor struct {
	prefix string
	what   string // for errors
}

var (
	tokenArmor = armor{"serval1", "join token"}
	nodeArmor  = armor{"serval-node1", "node key"}
	rootArmor  = armor{"serval-cluster1", "cluster root key"}
)

const (
	maxArmorBody = 2048
	armorHeader  = 3
	checksumLen  = 4
)

func (a armor) checksum(b []byte) []byte {
	sum := sha256.Sum256(append([]byte(a.prefix), b...))
	return sum[:checksumLen]
}

func (a armor) encode(body []byte) string {
	b := binary.BigEndian.AppendUint16([]byte{0}, uint16(len(body)))
	b = append(b, body...)
	b = append(b, a.checksum(b)...)
	return a.prefix + base64.RawURLEncoding.EncodeToString(b)
}

// decode is the inverse of encode. White space is ignored anywhere, for tokens
// get wrapped. Errors never repeat the text: it is a secret.
func (a armor) decode(text string) ([]byte, error) {
	if len(text) > 2*maxArmorBody {
		return nil, fmt.Errorf("this is not a %s: it is longer than any", a.what)
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, text)
	rest, ok := strings.CutPrefix(text, a.prefix)
	if !ok {
		return nil, a.wrongPrefix(text)
	}
	for i, r := range rest {
		if !isBase64(r) {
			return nil, fmt.Errorf("%w: character %d of the %s cannot be part of one: copy it again", ErrAltered, len(a.prefix)+i+1, a.what)
		}
	}
	raw, err := base64.RawURLEncoding.DecodeString(rest[:len(rest)-len(rest)%4])
	if err != nil {
		return nil, fmt.Errorf("%w: the %s is not valid base64: copy it again", ErrAltered, a.what)
	}
	if len(raw) < armorHeader {
		return nil, fmt.Errorf("%w: the %s has only %d characters: copy all of it", ErrTruncated, a.what, len(text))
	}
	// The length comes first, so a text that was cut is told from one that was
	// changed.
	size := armorHeader + int(binary.BigEndian.Uint16(raw[1:])) + checksumLen
	switch want := base64.RawURLEncoding.EncodedLen(size); {
	case raw[0] != 0 || size > maxArmorBody:
		return nil, fmt.Errorf("%w: the %s states an impossible length: copy it again", ErrAltered, a.what)
	case len(rest) < want:
		return nil, fmt.Errorf("%w: only %d of the %s's %d characters are there: copy all of it", ErrTruncated, len(text), a.what, len(a.prefix)+want)
	case len(rest) > want:
		return nil, fmt.Errorf("%w: the %s is followed by %d characters that are not part of it: remove them", ErrAltered, a.what, len(rest)-want)
	}
	raw, err = base64.RawURLEncoding.Strict().DecodeString(rest)
	if err != nil {
		return nil, fmt.Errorf("%w: the %s is not valid base64: copy it again", ErrAltered, a.what)
	}
	end := len(raw) - checksumLen
	if !bytes.Equal(raw[end:], a.checksum(raw[:end])) {
		return nil, fmt.Errorf("%w: the checksum of the %s is wrong: copy it again", ErrAltered, a.what)
	}
	return raw[armorHeader:end], nil
}

// wrongPrefix says what the text is instead, as far as that can be told.
func (a armor) wrongPrefix(text string) error {
	for _, other := range []armor{tokenArmor, nodeArmor, rootArmor} {
		switch {
		case strings.HasPrefix(text, other.prefix):
			return fmt.Errorf("this is a %s, where a %s is needed", other.what, a.what)
		case text != "" && strings.HasPrefix(a.prefix, text):
			return fmt.Errorf("%w: the %s has only %d characters: copy all of it", ErrTruncated, a.what, len(text))
		}
	}
	if family := strings.TrimSuffix(a.prefix, "1"); strings.HasPrefix(text, family) {
		return fmt.Errorf("this %s is of a version that this program does not know: upgrade it", a.what)
	}
	return fmt.Errorf("this is not a %s: one starts with %q", a.what, a.prefix)
}

func isBase64(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_'
}
