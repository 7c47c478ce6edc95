package sal

import (
	"encoding/hex"
	"fmt"
)

// FlowID names a flow at the node that chose it. It is random, so that it
// cannot be guessed, and never 0, which stands for no flow.
type FlowID uint32

// String returns 8 hexadecimal digits.
func (f FlowID) String() string { return fmt.Sprintf("%08x", uint32(f)) }

// ServiceID names a service on the wire: 256 bits, from general to specific, so
// that a prefix of it names a subtree. Name.ServiceID gives its layout.
type ServiceID [32]byte

// String returns 64 hexadecimal digits, which ParseServiceID reads.
func (id ServiceID) String() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether id is all zeros, which names no service.
func (id ServiceID) IsZero() bool { return id == ServiceID{} }

// ParseServiceID parses 64 hexadecimal digits.
func ParseServiceID(s string) (ServiceID, error) {
	var id ServiceID
	if len(s) != 2*len(id) {
		return id, fmt.Errorf("sal: service ID %q has %d characters; write %d hexadecimal digits", clip(s), len(s), 2*len(id))
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return ServiceID{}, fmt.Errorf("sal: service ID %q is not hexadecimal; write the digits 0-9 and a-f", clip(s))
	}
	return id, nil
}

// MarshalText returns what String does.
func (id ServiceID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText parses what ParseServiceID does.
func (id *ServiceID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseServiceID(string(text))
	return err
}

// clip shortens hostile or mistyped input for an error message.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return s[:most] + "..."
}
