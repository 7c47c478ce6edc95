package sal

import "errors"

var (
	// ErrMalformed is wrapped by the error for every packet or frame that breaks
	// the format. Drop the packet; inside a sealed packet, reset the connection.
	ErrMalformed = errors.New("sal: malformed packet")

	// ErrVersion is wrapped by the error for a packet this version cannot
	// understand: another wire version, or an extension marked as critical.
	ErrVersion = errors.New("sal: version mismatch")
)

// parseError is a constant, so that hostile packets cost no allocation.
type parseError string

const (
	errTruncated = parseError("packet is cut short")
	errTrailing  = parseError("packet has bytes after its end")
	errType      = parseError("packet type is not one of version 1")
	errNotType   = parseError("packet is of another type than expected")
	errFlow      = parseError("source flow ID is 0, which stands for no flow")
	errExtCount  = parseError("packet has more than 16 extensions")
	errExtLen    = parseError("extension length does not fit its type")
	errExtTwice  = parseError("extension appears twice")
	errCookieLen = parseError("cookie is empty or longer than 64 bytes")
	errFrameType = parseError("frame type is not one of version 1")
	errFramesLen = parseError("frames are longer than the packet that holds them")
	errAckRange  = parseError("ACK frame has a range below packet number 0")
	errAckCount  = parseError("ACK frame has more than 64 ranges")
	errReason    = parseError("RESET frame has a reason that is not UTF-8")
	errPaths     = parseError("more flows or addresses than a PATHS frame may list")
	errAddr      = parseError("address is neither IPv4 nor plain IPv6")
)

func (e parseError) Error() string      { return "sal: " + string(e) }
func (parseError) Is(target error) bool { return target == ErrMalformed }

type versionError string

const errCritical = versionError("packet has an extension this node must understand and does not; update this node")

func (e versionError) Error() string      { return "sal: " + string(e) }
func (versionError) Is(target error) bool { return target == ErrVersion }

// versionErrors is indexed by the version a packet claims.
var versionErrors = [4]error{
	0: versionError("packet has version 0, this node speaks version 1; its sender is no Serval node"),
	2: versionError("packet has version 2, this node speaks version 1; update this node"),
	3: versionError("packet has version 3, this node speaks version 1; update this node"),
}
