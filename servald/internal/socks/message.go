package socks

import (
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strconv"
)

// Versions, methods and commands (RFC 1928 and 1929).
const (
	version5    = 5
	versionAuth = 1

	methodNone     = 0
	methodPassword = 2
	methodRefused  = 0xff

	cmdConnect   = 1
	cmdAssociate = 3

	atypIPv4   = 1
	atypDomain = 3
	atypIPv6   = 4
)

// Reply is how a request went (RFC 1928, section 6).
type Reply byte

const (
	Succeeded          Reply = 0
	GeneralFailure     Reply = 1
	NotAllowed         Reply = 2
	NetworkUnreachable Reply = 3
	HostUnreachable    Reply = 4
	ConnectionRefused  Reply = 5
	TTLExpired         Reply = 6
	CommandUnknown     Reply = 7
	AddressUnknown     Reply = 8
)

// address is a destination, or where an answer is from.
type address struct {
	host string     // a name; "" if addr is valid
	addr netip.Addr // without a zone
	port uint16
}

// Host returns the name, or the address as text.
func (a address) Host() string {
	if a.addr.IsValid() {
		return a.addr.String()
	}
	return a.host
}

// String returns host:port.
func (a address) String() string { return a.Host() + ":" + strconv.Itoa(int(a.port)) }

// append appends ATYP, ADDR and PORT.
func (a address) append(b []byte) []byte {
	switch {
	case a.addr.Is4():
		b = append(append(b, atypIPv4), a.addr.AsSlice()...)
	case a.addr.Is6():
		b = append(append(b, atypIPv6), a.addr.AsSlice()...)
	default:
		b = append(append(b, atypDomain, byte(len(a.host))), a.host...)
	}
	return append(b, byte(a.port>>8), byte(a.port))
}

// Errors of parsing. All of them end the connection.
var (
	errNotSOCKS5   = errors.New("the client does not speak SOCKS5")
	errSOCKS4      = errors.New("the client speaks SOCKS4, which knows no names; set it to SOCKS5")
	errHTTP        = errors.New("the client speaks HTTP, not SOCKS5; set it to an HTTP proxy, or servald http-proxy")
	errMalformed   = errors.New("malformed")
	errAddressType = errors.New("unknown type of address")
	errName        = fmt.Errorf("%w host name", errMalformed)
)

// readGreeting reads the methods that the client knows:
//
//	+-----+----------+----------+
//	| VER | NMETHODS | METHODS  |
//	+-----+----------+----------+
//	|  1  |    1     | 1 to 255 |
func readGreeting(r io.Reader) (methods []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	switch {
	case head[0] == 4:
		return nil, errSOCKS4
	case 'A' <= head[0] && head[0] <= 'Z' && 'A' <= head[1] && head[1] <= 'Z':
		return nil, errHTTP
	case head[0] != version5:
		return nil, errNotSOCKS5
	case head[1] == 0:
		return nil, fmt.Errorf("%w greeting", errMalformed)
	}
	methods = make([]byte, head[1])
	_, err = io.ReadFull(r, methods)
	return methods, err
}

// readPassword reads a name and a password (RFC 1929):
//
//	+-----+------+----------+------+----------+
//	| VER | ULEN |  UNAME   | PLEN |  PASSWD  |
//	+-----+------+----------+------+----------+
//	|  1  |  1   | 1 to 255 |  1   | 1 to 255 |
func readPassword(r io.Reader) (user, password string, err error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return "", "", err
	}
	if head[0] != versionAuth {
		return "", "", fmt.Errorf("%w authentication", errMalformed)
	}
	b := make([]byte, int(head[1])+1)
	if _, err := io.ReadFull(r, b); err != nil {
		return "", "", err
	}
	user = string(b[:head[1]])
	b = make([]byte, b[head[1]])
	if _, err := io.ReadFull(r, b); err != nil {
		return "", "", err
	}
	return user, string(b), nil
}

// readRequest reads what the client wants:
//
//	+-----+-----+-----+------+----------+------+
//	| VER | CMD | RSV | ATYP | DST.ADDR | PORT |
//	+-----+-----+-----+------+----------+------+
//	|  1  |  1  |  1  |  1   |   var    |  2   |
//
// Where the error is errAddressType or errName, the client can still be told.
func readRequest(r io.Reader) (cmd byte, to address, err error) {
	var head [5]byte // with the first byte of the address, which is the length of names
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, address{}, err
	}
	if head[0] != version5 || head[2] != 0 {
		return 0, address{}, fmt.Errorf("%w request", errMalformed)
	}
	length, err := addressLen(head[3], head[4])
	if err != nil {
		return head[1], address{}, err
	}
	b := make([]byte, 1+length) // 1 is head[4]
	b[0] = head[4]
	if _, err := io.ReadFull(r, b[1:]); err != nil {
		return 0, address{}, err
	}
	to, _, err = cutAddress(head[3], b)
	return head[1], to, err
}

// addressLen returns how long an address and its port are behind the first byte.
func addressLen(atyp, first byte) (int, error) {
	switch atyp {
	case atypIPv4:
		return 4 - 1 + 2, nil
	case atypIPv6:
		return 16 - 1 + 2, nil
	case atypDomain:
		return int(first) + 2, nil
	}
	return 0, errAddressType
}

// cutAddress takes an address off b, which begins behind ATYP.
func cutAddress(atyp byte, b []byte) (a address, rest []byte, err error) {
	if len(b) == 0 {
		return a, nil, errMalformed
	}
	n, err := addressLen(atyp, b[0])
	if err != nil {
		return a, nil, err
	}
	if n++; len(b) < n {
		return a, nil, errMalformed
	}
	a.port = uint16(b[n-2])<<8 | uint16(b[n-1])
	if host := b[:n-2]; atyp != atypDomain {
		a.addr, _ = netip.AddrFromSlice(host)
		return a, b[n:], nil
	}
	host := string(b[1 : n-2])
	// Some clients write addresses as names.
	if addr, err := netip.ParseAddr(host); err == nil && addr.Zone() == "" {
		a.addr = addr
	} else if a.host = host; !validHost(host) {
		return a, b[n:], errName
	}
	return a, b[n:], nil
}

// validHost reports whether a host name has nothing in it that could mean something
// else further on, in logs or resolvers.
func validHost(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_', c == '.':
		default:
			return false
		}
	}
	return s != ""
}

// cutDatagram splits a client's datagram (RFC 1928, section 7) into where it is to go
// and what is in it:
//
//	+-----+------+------+----------+------+------+
//	| RSV | FRAG | ATYP | DST.ADDR | PORT | DATA |
//	+-----+------+------+----------+------+------+
//	|  2  |  1   |  1   |   var    |  2   | var  |
//
// Fragments are refused, as the RFC allows.
func cutDatagram(b []byte) (to address, data []byte, err error) {
	if len(b) < 4 || b[0] != 0 || b[1] != 0 || b[2] != 0 {
		return to, nil, errMalformed
	}
	return cutAddress(b[3], b[4:])
}

// appendDatagram appends the head of a datagram from an address.
func appendDatagram(b []byte, from address) []byte { return from.append(append(b, 0, 0, 0)) }

// appendReply appends the answer to a request.
func appendReply(b []byte, code Reply, bound address) []byte {
	return bound.append(append(b, version5, byte(code), 0))
}
