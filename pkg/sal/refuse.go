package sal

import (
	"encoding/binary"
	"strconv"
	"time"
)

// RefuseCode says why a SYN was refused.
type RefuseCode uint8

const (
	NoService       RefuseCode = 1 // nothing here serves the name; ask the resolver again
	Overloaded      RefuseCode = 2 // try another instance, or this one after RetryAfter
	NotAuthorized   RefuseCode = 3 // the caller may not dial the name
	VersionMismatch RefuseCode = 4 // the SYN needs a newer node
	ShuttingDown    RefuseCode = 5 // the instance is leaving; try another
)

var refuseNames = [...]string{
	NoService: "no such service", Overloaded: "overloaded", NotAuthorized: "not authorised",
	VersionMismatch: "version mismatch", ShuttingDown: "shutting down",
}

// String returns the reason in words, such as "no such service".
func (c RefuseCode) String() string {
	if int(c) < len(refuseNames) && refuseNames[c] != "" {
		return refuseNames[c]
	}
	return "refusal code " + strconv.Itoa(int(c))
}

// Refuse rejects a SYN. It is not sealed, so it only moves a dial on to the
// next instance, and only if Echo shows that its sender saw the SYN.
type Refuse struct {
	Flow       FlowID // the client's, destination
	Code       RefuseCode
	RetryAfter time.Duration // when this instance may be tried again, in whole ms up to 65535; 0 says nothing
	Echo       [16]byte      // SYN.Echo
}

// Append appends the packet.
func (p *Refuse) Append(b []byte) []byte {
	b = append(b, firstByte(TypeRefuse), 0)
	b = binary.BigEndian.AppendUint32(b, uint32(p.Flow))
	b = append(b, byte(p.Code))
	ms := min(max(p.RetryAfter/time.Millisecond, 0), 1<<16-1)
	b = binary.BigEndian.AppendUint16(b, uint16(ms))
	return append(b, p.Echo[:]...)
}

// ParseRefuse parses a REFUSE.
func ParseRefuse(b []byte) (Refuse, error) {
	r, _ := long(b, TypeRefuse)
	p := Refuse{Flow: FlowID(r.u32()), Code: RefuseCode(r.u8())}
	p.RetryAfter = time.Duration(r.u16()) * time.Millisecond
	copy(p.Echo[:], r.take(len(p.Echo)))
	if err := r.end(); err != nil {
		return Refuse{}, err
	}
	return p, nil
}
