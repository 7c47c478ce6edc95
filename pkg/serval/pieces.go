package serval

import (
	"encoding/binary"
	"math/bits"

	"github.com/serval-net/serval/internal/flowset"
)

// On a connection with a port, datagrams may be as long as those of UDP, for
// programs that count on their host to cut them up: name servers, iperf3. What
// does not fit a packet leaves in pieces, each a datagram of its own:
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-------------------------------+-------------------------------+
//	|          0, no port           |             port              |
//	+-------------------------------+---------------+---------------+
//	|        which datagram         |     index     |  last index   |
//	+-------------------------------+---------------+---------------+
//	|                        ... the piece                          |
//
// If one gets lost, so does the whole, as with IP.

const (
	pieceHead = portLen + 6
	maxPieces = 64
	// longestDatagram is what UDP carries over IPv4.
	longestDatagram = 65507
	// maxPuzzles is how many datagrams are put together at a time; the oldest is
	// given up for another. Pieces of one leave together.
	maxPuzzles = 2
)

// sendPieces queues b in pieces. The caller holds l's lock.
func (l *link) sendPieces(b []byte, port uint16) error {
	room := l.set.MaxDatagram() - pieceHead
	if len(b) > longestDatagram || room <= 0 {
		return errTooLong
	}
	n := (len(b) + room - 1) / room
	if n > maxPieces {
		return errTooLong
	}
	size := (len(b) + n - 1) / n
	l.cut++
	var head [pieceHead]byte
	binary.BigEndian.PutUint16(head[2:], port)
	binary.BigEndian.PutUint16(head[4:], l.cut)
	head[7] = byte(n - 1)
	for i := range n {
		head[6] = byte(i)
		piece := b[:min(size, len(b))]
		b = b[len(piece):]
		if err := l.set.SendDatagram(head[:], piece); err == flowset.ErrTooLong {
			return errTooLong
		} else if err != nil {
			return err
		}
	}
	return nil
}

// puzzle is a datagram of which pieces have come.
type puzzle struct {
	id, port uint16
	have     uint64 // which
	pieces   [][]byte
	bytes    int
}

// puzzles puts the datagrams of one connection together. The zero value has none.
// Its inbox's lock guards it.
type puzzles struct{ open []puzzle }

// add takes a piece, which it keeps, and returns the datagram that it completes. It
// reports false for what no sender sends.
func (p *puzzles) add(b []byte) (whole []byte, port uint16, ok bool) {
	if len(b) <= pieceHead {
		return nil, 0, false
	}
	port, id := binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint16(b[4:])
	index, last := int(b[6]), int(b[7])
	if index > last || last == 0 || last >= maxPieces || port == 0 {
		return nil, 0, false
	}
	at := -1
	for i := range p.open {
		if p.open[i].id == id {
			at = i
		}
	}
	if at >= 0 && (p.open[at].port != port || len(p.open[at].pieces) != last+1) {
		return nil, 0, false
	}
	if at < 0 {
		if len(p.open) == maxPuzzles {
			p.drop(0)
		}
		at = len(p.open)
		p.open = append(p.open, puzzle{id: id, port: port, pieces: make([][]byte, last+1)})
	}
	one, piece := &p.open[at], b[pieceHead:]
	if one.have>>index&1 == 1 {
		return nil, 0, true // twice: paths are used redundantly
	}
	if one.bytes += len(piece); one.bytes > longestDatagram {
		p.drop(at)
		return nil, 0, false
	}
	one.have |= 1 << index
	one.pieces[index] = piece
	if bits.OnesCount64(one.have) <= last {
		return nil, 0, true
	}
	whole = make([]byte, 0, one.bytes)
	for _, piece := range one.pieces {
		whole = append(whole, piece...)
	}
	p.drop(at)
	return whole, port, true
}

func (p *puzzles) drop(i int) {
	copy(p.open[i:], p.open[i+1:])
	p.open[len(p.open)-1] = puzzle{}
	p.open = p.open[:len(p.open)-1]
}
