package serval

import (
	"encoding/binary"
	"errors"
)

// Programs that know nothing of services ask for a port, and some answer from
// another than they were asked at. So a connection may have a port, which the
// dialler says (Dialer.Port) and the instance may heed or not. On a datagram
// connection with a port each datagram starts with 2 bytes, the port at the
// service's side: that it is for, or that it is from; if it is 0, this is a piece of
// one (pieces.go). Others have neither.

// portLen is what a port takes of a datagram.
const portLen = 2

// portHead appends to b what goes before a datagram to or from a port.
func (l *link) portHead(b []byte, port uint16) ([]byte, error) {
	if !l.ports {
		if port != 0 && port != l.port {
			return nil, errNoPorts
		}
		return nil, nil
	}
	if port == 0 {
		port = l.port
	}
	return binary.BigEndian.AppendUint16(b, port), nil
}

var errNoPorts = because(ErrRefused, "the datagrams of this connection have no ports, since it was dialled without one; set Dialer.Port, or leave Addr.Port 0")

// cutPort takes the port off a datagram that arrived. It returns nil if that was a
// piece of one that is not complete yet, and false for what only a broken peer sends.
// The caller holds the inbox's lock.
func (l *link) cutPort(b []byte) (rest []byte, port uint16, ok bool) {
	if !l.ports {
		return b, 0, true
	}
	if len(b) < portLen {
		return nil, 0, false
	}
	if port = binary.BigEndian.Uint16(b); port == 0 {
		return l.puzzles.add(b)
	}
	return b[portLen:], port, true
}

// Port returns the port that the dialler asked for, 0 if none; the same at both
// ends. The peer vouches for it, as for all it sends. See Dialer.Port.
func (c *Conn) Port() uint16 { return c.link.port }

// ReadPort is Read on a datagram connection, and also returns the port of the
// service that the datagram is from, or at the accepting end that it is for. The
// port is 0 on a connection without one. Streams have nothing of the kind:
// errors.ErrUnsupported.
func (c *Conn) ReadPort(b []byte) (n int, port uint16, err error) {
	if c.tcp != nil {
		return 0, 0, c.wrap("read", errors.ErrUnsupported)
	}
	m, err := c.link.inbox.get()
	if err != nil {
		return 0, 0, c.wrap("read", err)
	}
	return copy(b, m.b), m.port, nil
}

// WritePort is Write on a datagram connection, to a port of the service, or at
// the accepting end from one; 0 is that of Port. Other ports than that need a
// connection that was dialled with one. On such a connection b may have up to 65,507
// bytes; beyond MaxDatagram it leaves in pieces, and arrives if all of them do.
func (c *Conn) WritePort(b []byte, port uint16) (int, error) {
	if c.tcp != nil {
		return 0, c.wrap("write", errors.ErrUnsupported)
	}
	if err := c.link.sendDatagram(b, port); err != nil {
		return 0, c.wrap("write", err)
	}
	return len(b), nil
}

// ReadMessage is ReadPort that returns the datagram itself, of any length, instead of
// a copy: it is the caller's to keep. Who waits for a datagram so needs no buffer.
func (c *Conn) ReadMessage() (b []byte, port uint16, err error) {
	if c.tcp != nil {
		return nil, 0, c.wrap("read", errors.ErrUnsupported)
	}
	m, err := c.link.inbox.get()
	if err != nil {
		return nil, 0, c.wrap("read", err)
	}
	return m.b, m.port, nil
}

// SetReadBuffer sets how many bytes of datagrams may wait to be read, each counting
// 128 more than it has: 4 MiB unless set, and never less than 256 KiB. Streams have
// windows instead: errors.ErrUnsupported.
func (c *Conn) SetReadBuffer(bytes int) error {
	if c.tcp != nil {
		return c.wrap("set", errors.ErrUnsupported)
	}
	c.link.inbox.resize(bytes)
	return nil
}
