package load

import (
	"encoding/binary"
	"io"
	"net"
)

// What the first byte of a connection may ask for.
const (
	opDown   = 'D' // send until the connection closes
	opEcho   = 'E' // answer each byte with itself
	opMemory = 'M' // answer each byte with this process's memory use
	opCPU    = 'C' // answer each byte with this process's CPU time
)

// writeSize is how much the server writes at a time.
const writeSize = 128 << 10

// Serve accepts and serves connections until the listener fails.
func Serve(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		go serve(conn)
	}
}

func serve(conn net.Conn) {
	defer conn.Close()
	b := make([]byte, 1)
	if _, err := io.ReadFull(conn, b); err != nil {
		return
	}
	switch b[0] {
	case opDown:
		for data := make([]byte, writeSize); ; {
			if _, err := conn.Write(data); err != nil {
				return
			}
		}
	case opEcho:
		for {
			if _, err := conn.Read(b); err != nil {
				return
			}
			if _, err := conn.Write(b); err != nil {
				return
			}
		}
	case opMemory:
		answer(conn, memory)
	case opCPU:
		answer(conn, func() uint64 { return uint64(cpuTime()) })
	}
}

// answer answers each byte with a number.
func answer(conn net.Conn, number func() uint64) {
	b := make([]byte, 8)
	for {
		if _, err := conn.Read(b[:1]); err != nil {
			return
		}
		if _, err := conn.Write(binary.BigEndian.AppendUint64(nil, number())); err != nil {
			return
		}
	}
}
