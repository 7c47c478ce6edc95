// Package handshake opens connections: Noise XX inside SYN, SYN-ACK and OPEN,
// after which both ends have proved who they are and share fresh secrets.
//
//	dialler                                            instance
//	SYN     flags, flow, window, service, e      --->
//	                             <---  COOKIE          only under load
//	SYN     ... and the cookie                   --->
//	        e, ee, s, es, {chain, service, ...}  <---  SYN-ACK
//	OPEN    s, se, {chain, service, ...}, [DATA] --->
//	                                             <---  any sealed packet confirms
//
// It is pure: packets and the time go in, packets and sessions come out. The
// caller owns sockets, timers, flow IDs and the flow table, and repeats packets
// whose answer is late.
//
// A dialler sends one and the same SYN as often and to as many instances as it
// likes; the first that answers well wins. It keeps nothing but its ephemeral
// key, and each answer is worked out on a copy, so that no forged packet spoils
// a handshake. The same holds for the instance and the OPEN.
package handshake

import (
	"errors"
	"net/netip"

	"github.com/serval-net/serval/internal/seal"
	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/sal"
)

// Config is what both roles need.
type Config struct {
	Identity *identity.Identity // of this node, required

	// MaxHalfOpen is how many connections may wait for their OPEN; 0 means 4096.
	MaxHalfOpen int
	// CookieThreshold is how many may wait before a SYN is answered with a cookie
	// and remembered only when it returns; 0 means 256.
	CookieThreshold int
}

// Params are what one end tells the other about the connection.
type Params struct {
	Window      uint32 // initial receive window in bytes
	Datagram    bool   // datagrams, not a stream; the dialler says, both have it
	Key         uint64 // of the service ID, see sal.ServiceID.WithKey; the dialler's
	MaxDatagram uint16 // longest datagram this end takes, in bytes; 0 if it does not say
	Port        uint16 // that is asked for, 0 for none; the dialler's

	// ResetToken proves that a stateless reset comes from the end that chose it.
	// This package sets it with the function ResetToken.
	ResetToken [16]byte
}

// Session is a finished handshake. It holds no handshake state.
type Session struct {
	Service       sal.Name // as dialled
	Local, Remote sal.FlowID
	Peer          identity.Peer
	PeerParams    Params
	Port          uint16 // as dialled, 0 for none; at both ends

	Suite      seal.Suite
	SendSecret [32]byte // for seal.NewSealer
	RecvSecret [32]byte // for seal.NewOpener
	JoinSecret [32]byte // authenticates flows that join later; the same at both ends

	// Router is, at the dialler, the first service router on the way of the SYN as
	// the instance says, zero if it says nothing. Hearsay, at the instance, means
	// that the SYN was forwarded and that the dialler has not shown that it
	// receives where the routers say it is.
	Router  netip.AddrPort
	Hearsay bool

	// Binding is the hash of the whole handshake, the same at both ends and of
	// no other connection. It is not secret.
	Binding [32]byte
}

var (
	// ErrForged means that a packet does not belong to the handshake it claims:
	// ignore it, the genuine one may still come.
	ErrForged = errors.New("handshake packet is not authentic: ignored")
	// ErrUnknown means that nothing waits for this packet: it is a duplicate, it
	// is late, or it was never wanted.
	ErrUnknown = errors.New("handshake packet belongs to no open handshake: ignored")
	// ErrBusy means that too many connections wait for their OPEN: answer with
	// REFUSE and sal.Overloaded.
	ErrBusy = errors.New("too many half-open connections: try later or another instance")
	// ErrNotAuthorized means that the peer is authentic but its certificates do
	// not allow the connection. The error says why, and wraps the error of
	// identity.Cluster.Verify if that is the reason.
	ErrNotAuthorized = errors.New("peer is not authorised")
	// ErrNoPorts means that the instance is authentic, and too old for datagrams
	// with ports: ask another.
	ErrNoPorts = errors.New("the instance knows no ports")
)
