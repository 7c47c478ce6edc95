package tun

import "io"

// DefaultMTU is the MTU of devices that Open makes, unless told otherwise: near the
// largest IP packet, since what a local program sends is never on a real wire, and
// each packet costs the same whatever its size.
const DefaultMTU = 65520

// Device carries IP packets, IPv4 and IPv6, without link headers. Read returns one
// packet, Write takes one. Read and Write may be called at the same time, also
// several Writes; Close makes a Read that waits return an error.
type Device interface {
	io.ReadWriteCloser

	// MTU is the largest packet in bytes, at least 1280 (RFC 8200, 5) and at most 65535.
	MTU() int
}

// vectored is a Device that takes packets in two pieces, which saves copying them
// together. A nil tail is none.
type vectored interface {
	writev(head, tail []byte) error
}
