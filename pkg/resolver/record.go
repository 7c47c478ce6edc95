package resolver

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/crypto/cryptobyte"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/sal"
)

// A record, big endian:
//
//	version u8 = 2 | flags u8 (1: withdrawn) | issued u64 (ns since 1970)
//	| TTL u32 (ms) | weight u16 | priority i16 | load u16 (1/1000) | balance u8
//	| key prefixes u8 count, each u8 bits + key u64
//	| service u8 length + "shop/cart"
//	| addresses u8 count, each u8 length + 4 or 16 bytes and port u16
//	| certificate chain u16 length + chain
//	| signature 64, by the node, of everything before it
//
// The time of issue is the version of what it says: the later record of a node
// and service holds, and of two issued at once the withdrawal.
const (
	recordVersion = 2
	flagWithdrawn = 1

	signatureLen = 64
	loadUnit     = 1000

	// MaxRecord is the most bytes of a record. It fits a datagram of gossip.
	MaxRecord = 1200
)

// clockSkew is how far apart the clocks of two nodes may be.
const clockSkew = 2 * time.Minute

// ErrRecord is what errors are that reject a record.
var ErrRecord = errors.New("resolver: bad record")

// ErrClock is what those of them are that may be the fault of a clock: an operator
// should hear of them.
var ErrClock = errors.New("resolver: the clocks of two hosts differ by too much")

// clockError is an ErrClock.
type clockError struct{ text string }

func (e *clockError) Error() string        { return e.text }
func (e *clockError) Is(target error) bool { return target == ErrClock }

// checkAge says what is wrong with the time of issue.
func (r *Record) checkAge(now time.Time) error {
	end := r.Issued.Add(r.TTL)
	switch {
	case r.fromFuture(now):
		return &clockError{fmt.Sprintf("it, of %v, was issued at %v, which is %v from now; set the clocks of both hosts right, they may differ by %v",
			r.Service, r.Issued.UTC(), r.Issued.Sub(now).Round(time.Second), clockSkew)}
	case !now.Before(end.Add(clockSkew)):
		return &clockError{fmt.Sprintf("it, of %v, expired at %v, which is %v ago; unless it is an old copy, set the clocks of both hosts right, they may differ by %v",
			r.Service, end.UTC(), now.Sub(end).Round(time.Second), clockSkew)}
	}
	return nil
}

// Record is a registration or a withdrawal, as verified by ParseRecord.
type Record struct {
	Service   sal.Name
	Node      identity.NodeID
	Addrs     []netip.AddrPort
	Weight    int
	Priority  int
	Load      float64
	Balance   Balance
	Keys      []sal.KeyPrefix
	Issued    time.Time
	TTL       time.Duration
	Withdrawn bool

	raw    []byte
	renews bool // see Renews
}

// Raw returns the record as it travels. The caller must not change it.
func (r *Record) Raw() []byte { return r.raw }

// Renews reports whether the record, as news from a Directory, says only that
// what was known there goes on, or how loaded it is.
func (r *Record) Renews() bool { return r.renews }

// Instance returns what the record says, known until the time given.
func (r *Record) Instance(until time.Time) Instance {
	return Instance{
		Service: r.Service, Node: r.Node, Addrs: r.Addrs, Weight: r.Weight, Priority: r.Priority,
		Load: r.Load, Balance: r.Balance, Keys: r.Keys,
		Version: uint64(r.Issued.UnixNano()), Expires: until,
	}
}

// renewsOf reports whether r says nothing new that is worth to hurry for: the load
// changes all the time.
func (r *Record) renewsOf(old *Record) bool {
	return slices.Equal(r.Addrs, old.Addrs) && slices.Equal(r.Keys, old.Keys) &&
		r.Weight == old.Weight && r.Priority == old.Priority && r.Balance == old.Balance
}

// fromFuture reports whether nobody whose clock says now takes the record: it was
// issued by a clock that was ahead, perhaps ours, and has been set right.
func (r *Record) fromFuture(now time.Time) bool { return r.Issued.After(now.Add(clockSkew)) }

// NextIssue returns when to issue the record that follows one of the time last: the time
// of day, or a moment after last, since the clock may have been set back and others
// would take it for an old one; but not if last is so far ahead that nobody can have
// taken that.
func NextIssue(last, now time.Time) time.Time {
	now = now.Round(0)
	if !now.After(last) && !last.After(now.Add(clockSkew)) {
		return last.Add(1)
	}
	return now
}

// supersedes reports whether r holds rather than other, a record of the same
// node and service.
func (r *Record) supersedes(other *Record) bool {
	if r.Issued.Equal(other.Issued) {
		return r.Withdrawn && !other.Withdrawn
	}
	return r.Issued.After(other.Issued)
}

// Announce returns a signed record of the registration, issued now. It fails if
// the registration is not valid, or the node may not serve the service.
func (r Registration) Announce(now time.Time) (*Record, error) { return r.record(now, 0) }

// Withdraw returns a signed record that ends what was announced up to now.
func (r Registration) Withdraw(now time.Time) (*Record, error) { return r.record(now, flagWithdrawn) }

func (r Registration) record(now time.Time, flags byte) (*Record, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	if self := r.Identity.Peer(); !mayRegister(&self, r.Service) {
		if isNode(r.Service) {
			return nil, fmt.Errorf("resolver: %v is reserved for a node's own record, which RegisterNode makes; choose another name", r.Service)
		}
		return nil, fmt.Errorf("resolver: this node's certificate does not let it serve %v; join with a token that grants it", r.Service)
	}
	b := []byte{recordVersion, flags}
	b = binary.BigEndian.AppendUint64(b, uint64(now.UnixNano()))
	b = binary.BigEndian.AppendUint32(b, uint32(r.ttl().Milliseconds()))
	b = binary.BigEndian.AppendUint16(b, uint16(r.Weight))
	b = binary.BigEndian.AppendUint16(b, uint16(int16(r.Priority)))
	b = binary.BigEndian.AppendUint16(b, uint16(math.Round(r.Load*loadUnit)))
	b = append(b, byte(r.Balance), byte(len(r.Keys)))
	for _, k := range r.Keys {
		b = binary.BigEndian.AppendUint64(append(b, k.Bits), k.Key)
	}
	b = append(b, byte(len(r.Service.Path())))
	b = append(b, r.Service.Path()...)
	b = append(b, byte(len(r.Addrs)))
	for _, a := range r.Addrs {
		ip := a.Addr().Unmap().AsSlice()
		b = append(b, byte(len(ip)+2))
		b = append(b, ip...)
		b = binary.BigEndian.AppendUint16(b, a.Port())
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(r.Identity.Chain())))
	b = append(b, r.Identity.Chain()...)
	b = append(b, r.Identity.Sign(b)...)
	return ParseRecord(b, r.Identity.Cluster(), now)
}

// ParseRecord reads a record and verifies that a member of the cluster signed
// it who may serve the service, not too long ago. It keeps no part of b. The
// error is ErrRecord.
func ParseRecord(b []byte, cluster *identity.Cluster, now time.Time) (*Record, error) {
	r, err := parseRecord(b, cluster, now)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	return r, nil
}

func parseRecord(b []byte, cluster *identity.Cluster, now time.Time) (*Record, error) {
	if len(b) > MaxRecord {
		return nil, fmt.Errorf("it has %d bytes, at most %d are allowed", len(b), MaxRecord)
	}
	r := &Record{raw: append([]byte(nil), b...)}
	s := cryptobyte.String(r.raw)
	var version, flags uint8
	var issued uint64
	var ttl uint32
	var weight, priority, load uint16
	var balance, keys uint8
	var service, addrs, chain cryptobyte.String
	if !s.ReadUint8(&version) || version != recordVersion {
		return nil, fmt.Errorf("its version is not %d", recordVersion)
	}
	var count uint8
	if !s.ReadUint8(&flags) || !s.ReadUint64(&issued) || !s.ReadUint32(&ttl) ||
		!s.ReadUint16(&weight) || !s.ReadUint16(&priority) || !s.ReadUint16(&load) ||
		!s.ReadUint8(&balance) || !s.ReadUint8(&keys) || keys > MaxKeys {
		return nil, errCutOff
	}
	for range keys {
		var k sal.KeyPrefix
		if !s.ReadUint8(&k.Bits) || !s.ReadUint64(&k.Key) {
			return nil, errCutOff
		}
		if !k.Valid() {
			return nil, errors.New("a key prefix in it has the wrong form")
		}
		r.Keys = append(r.Keys, k)
	}
	if !s.ReadUint8LengthPrefixed(&service) || !s.ReadUint8(&count) || count == 0 || count > MaxAddrs {
		return nil, errCutOff
	}
	for range count {
		if !s.ReadUint8LengthPrefixed(&addrs) {
			return nil, errCutOff
		}
		ip, ok := netip.AddrFromSlice(addrs[:max(len(addrs)-2, 0)])
		if !ok || ip.Is4In6() {
			return nil, errors.New("an address in it has the wrong form")
		}
		a := netip.AddrPortFrom(ip, binary.BigEndian.Uint16(addrs[len(addrs)-2:]))
		if err := checkAddr(a); err != nil {
			return nil, err
		}
		r.Addrs = append(r.Addrs, a)
	}
	if !s.ReadUint16LengthPrefixed(&chain) || len(s) != signatureLen {
		return nil, errCutOff
	}
	name, err := sal.ParseName(string(service))
	if err != nil || name.Path() != string(service) {
		return nil, fmt.Errorf("its service name %.80q is not valid", string(service))
	}
	r.Service, r.Weight, r.Priority = name, int(weight), int(int16(priority))
	r.Load, r.Balance = float64(load)/loadUnit, Balance(balance)
	r.Issued = time.Unix(0, int64(issued))
	r.TTL = time.Duration(ttl) * time.Millisecond
	r.Withdrawn = flags&flagWithdrawn != 0
	switch {
	case flags&^flagWithdrawn != 0:
		return nil, errors.New("it has unknown flags")
	case int(balance) >= len(balances):
		return nil, fmt.Errorf("its balance %d is not known", balance)
	case name.IsWildcard() && len(r.Keys) > 0:
		return nil, errors.New("it has keys of a wildcard")
	case r.TTL < MinTTL || r.TTL > MaxTTL:
		return nil, fmt.Errorf("its TTL is %v", r.TTL)
	}
	if err := r.checkAge(now); err != nil {
		return nil, err
	}
	peer, err := cluster.Verify(chain, now)
	if err != nil {
		return nil, err
	}
	r.Node = peer.Node
	if !mayRegister(&peer, name) {
		return nil, fmt.Errorf("node %s may not serve %v", peer.Node.Short(), name)
	}
	signed := len(r.raw) - signatureLen
	if !peer.VerifyRecord(r.raw[:signed], r.raw[signed:]) {
		return nil, fmt.Errorf("node %s did not sign it", peer.Node.Short())
	}
	return r, nil
}

var errCutOff = errors.New("it is cut off, or a field is too long")
