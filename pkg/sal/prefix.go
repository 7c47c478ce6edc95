package sal

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// idBits is the length of a ServiceID.
const idBits = 256

// Prefix is the set of services whose ID starts with the first Bits bits of ID.
// The zero value contains every service. Prefixes compare with == after Masked.
type Prefix struct {
	ID   ServiceID
	Bits uint16 // 0 to 256
}

// Contains reports whether id is in p.
func (p Prefix) Contains(id ServiceID) bool { return p.ID.CommonPrefix(id) >= int(p.Bits) }

// CommonPrefix returns how many leading bits id and other share, 0 to 256.
func (id ServiceID) CommonPrefix(other ServiceID) int {
	for i := 0; i < len(id); i += 8 {
		x := binary.BigEndian.Uint64(id[i:]) ^ binary.BigEndian.Uint64(other[i:])
		if x != 0 {
			return i*8 + bits.LeadingZeros64(x)
		}
	}
	return idBits
}

// Masked returns p with the bits of ID that do not count set to zero.
func (p Prefix) Masked() Prefix {
	n := min(int(p.Bits), idBits)
	i := n / 8
	if n%8 != 0 {
		p.ID[i] &= ^byte(0) << (8 - n%8)
		i++
	}
	clear(p.ID[i:])
	return p
}

// String returns the bytes that count in hexadecimal and the number of bits,
// such as "01ab/16", which ParsePrefix reads.
func (p Prefix) String() string {
	n := min(int(p.Bits), idBits)
	m := p.Masked()
	return hex.EncodeToString(m.ID[:(n+7)/8]) + "/" + strconv.Itoa(int(p.Bits))
}

// ParsePrefix parses hexadecimal digits, a slash and a number of bits. Digits
// left out at the end are zero, bits beyond the prefix must be.
func ParsePrefix(s string) (Prefix, error) {
	digits, num, ok := strings.Cut(s, "/")
	n, err := strconv.ParseUint(num, 10, 16)
	if !ok || err != nil || n > idBits {
		return Prefix{}, fmt.Errorf("sal: prefix %q has no length; end it with a slash and a number of bits from 0 to 256", clip(s))
	}
	p := Prefix{Bits: uint16(n)}
	if len(digits) > 2*len(p.ID) {
		return Prefix{}, fmt.Errorf("sal: prefix %q is longer than a service ID; write at most 64 hexadecimal digits", clip(s))
	}
	if _, err := hex.Decode(p.ID[:], []byte(digits)); err != nil {
		return Prefix{}, fmt.Errorf("sal: prefix %q is not hexadecimal; write an even number of the digits 0-9 and a-f", clip(s))
	}
	if p != p.Masked() {
		return Prefix{}, fmt.Errorf("sal: prefix %q has bits set beyond its length; clear them or lengthen it", clip(s))
	}
	return p, nil
}

// MarshalText returns what String does.
func (p Prefix) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText parses what ParsePrefix does.
func (p *Prefix) UnmarshalText(text []byte) (err error) {
	*p, err = ParsePrefix(string(text))
	return err
}
