package sal

import (
	"crypto/sha256"
	"slices"
	"strings"
)

const (
	// MaxLevels is the most levels of a name.
	MaxLevels = 3

	// MaxLabel is the most bytes of one level, as in DNS.
	MaxLabel = 63

	// DNSSuffix ends the DNS form of a name.
	DNSSuffix = ".svc.serval"

	scheme   = "svc:"
	wildcard = "*"
)

// Name is the name of a service, such as "svc:shop/cart", or with a wildcard as
// its last level a subtree of them, such as "svc:shop/*". It is comparable and
// in one form only: two Names are the same service exactly if they are ==.
// The zero value names nothing.
type Name struct {
	s string // canonical, with scheme
}

// String returns the name as "svc:shop/cart", or "" for the zero value.
func (n Name) String() string { return n.s }

// IsZero reports whether n names nothing.
func (n Name) IsZero() bool { return n.s == "" }

// IsWildcard reports whether n names a subtree.
func (n Name) IsWildcard() bool { return strings.HasSuffix(n.s, wildcard) }

// Path returns the name without its scheme, such as "shop/cart".
func (n Name) Path() string { return strings.TrimPrefix(n.s, scheme) }

// DNS returns the name as a host name, such as "cart.shop.svc.serval", or ""
// for the zero value.
func (n Name) DNS() string {
	if n.IsZero() {
		return ""
	}
	labels := strings.Split(n.Path(), "/")
	slices.Reverse(labels)
	return strings.Join(labels, ".") + DNSSuffix
}

// idCluster is the first byte of the ID of a name that a cluster vouches for.
const idCluster = 1

// levelBytes are how much of an ID each level takes. The widest goes to the
// first, which has the most siblings; 8 bytes stay for a key within the service.
var levelBytes = [MaxLevels]int{12, 6, 5}

// nameBits is the part of an ID that names fill, before the key.
const nameBits = (1 + 12 + 6 + 5) * 8

// ServiceID returns the ID of the name: a byte 1, the first 12, 6 and 5 bytes
// of the SHA-256 of the first, second and third level, and 8 zero bytes. Levels
// that are missing or a wildcard are zero.
func (n Name) ServiceID() ServiceID {
	id, _ := n.id()
	return id
}

// Prefix returns the services n covers. For a wildcard that is the subtree with
// its root: "svc:shop/*" covers svc:shop, svc:shop/cart and svc:shop/cart/eu.
// For any other name it is the service itself under any key.
func (n Name) Prefix() Prefix {
	id, used := n.id()
	if n.IsWildcard() {
		return Prefix{ID: id, Bits: uint16(used * 8)}
	}
	return Prefix{ID: id, Bits: nameBits}
}

// Covers reports whether n is other, or a wildcard whose subtree holds other
// and, if that is a wildcard itself, all that it covers. Nothing covers, or is
// covered by, the zero value.
func (n Name) Covers(other Name) bool {
	if n.IsZero() || other.IsZero() {
		return false
	}
	if n == other || n.s == scheme+wildcard {
		return true
	}
	root, ok := strings.CutSuffix(n.s, "/"+wildcard)
	return ok && (other.s == root || strings.HasPrefix(other.s, root+"/"))
}

// id returns the ID and how many of its bytes the levels of n fill.
func (n Name) id() (id ServiceID, used int) {
	if n.IsZero() {
		return id, 0
	}
	id[0], used = idCluster, 1
	rest, more := n.Path(), true
	for i := 0; more && rest != wildcard; i++ {
		var label string
		label, rest, more = strings.Cut(rest, "/")
		sum := sha256.Sum256([]byte(label))
		used += copy(id[used:used+levelBytes[i]], sum[:])
	}
	return id, used
}

// MarshalText returns what String does.
func (n Name) MarshalText() ([]byte, error) { return []byte(n.s), nil }

// UnmarshalText parses what ParseName does; empty text is the zero value.
func (n *Name) UnmarshalText(text []byte) (err error) {
	if len(text) == 0 {
		*n = Name{}
		return nil
	}
	*n, err = ParseName(string(text))
	return err
}
