package sal

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
)

// keyBits is the length of a key, the last part of a ServiceID.
const keyBits = idBits - nameBits

// WithKey returns id with a key in its last 8 bytes, where names leave room. Keys
// are spread evenly over 64 bits: use a hash.
func (id ServiceID) WithKey(key uint64) ServiceID {
	binary.BigEndian.PutUint64(id[nameBits/8:], key)
	return id
}

// Key returns the key of id, 0 if it was given none.
func (id ServiceID) Key() uint64 { return binary.BigEndian.Uint64(id[nameBits/8:]) }

// KeyPrefix is the part of a service's key space whose keys start with the first
// Bits bits of Key. The zero value is all of it. Key prefixes compare with ==;
// the bits that do not count must be zero.
type KeyPrefix struct {
	Key  uint64
	Bits uint8 // 0 to 64
}

// Contains reports whether key is in k.
func (k KeyPrefix) Contains(key uint64) bool {
	return bits.LeadingZeros64(k.Key^key) >= int(k.Bits)
}

// Valid reports whether k is in its one form.
func (k KeyPrefix) Valid() bool {
	return k.Bits <= keyBits && (k.Bits == keyBits || k.Key<<k.Bits == 0)
}

// Of returns the prefix of k within the service of a name that is no wildcard.
func (k KeyPrefix) Of(n Name) Prefix {
	return Prefix{ID: n.ServiceID().WithKey(k.Key), Bits: nameBits + uint16(k.Bits)}
}

// String returns the leading hexadecimal digits that count and the number of
// bits, such as "c/2", which ParseKeyPrefix reads.
func (k KeyPrefix) String() string {
	digits := fmt.Sprintf("%016x", k.Key)[:(min(int(k.Bits), keyBits)+3)/4]
	return digits + "/" + strconv.Itoa(int(k.Bits))
}

// ParseKeyPrefix parses hexadecimal digits, a slash and a number of bits. Digits
// left out at the end are zero, bits beyond the prefix must be.
func ParseKeyPrefix(s string) (KeyPrefix, error) {
	digits, num, ok := strings.Cut(s, "/")
	n, err := strconv.ParseUint(num, 10, 8)
	if !ok || err != nil || n > keyBits {
		return KeyPrefix{}, fmt.Errorf("sal: key prefix %q has no length; end it with a slash and a number of bits from 0 to 64", clip(s))
	}
	k := KeyPrefix{Bits: uint8(n)}
	if len(digits) > 16 {
		return KeyPrefix{}, fmt.Errorf("sal: key prefix %q is longer than a key; write at most 16 hexadecimal digits", clip(s))
	}
	if digits != "" {
		if k.Key, err = strconv.ParseUint(digits, 16, 64); err != nil {
			return KeyPrefix{}, fmt.Errorf("sal: key prefix %q is not hexadecimal; write the digits 0-9 and a-f", clip(s))
		}
		k.Key <<= 4 * (16 - len(digits))
	}
	if !k.Valid() {
		return KeyPrefix{}, fmt.Errorf("sal: key prefix %q has bits set beyond its length; clear them or lengthen it", clip(s))
	}
	return k, nil
}

// MarshalText returns what String does.
func (k KeyPrefix) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText parses what ParseKeyPrefix does.
func (k *KeyPrefix) UnmarshalText(text []byte) (err error) {
	*k, err = ParseKeyPrefix(string(text))
	return err
}
