package serval

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/simnet"
)

// pieceOf returns a piece as it arrives.
func pieceOf(port, id uint16, index, last byte, piece string) []byte {
	b := binary.BigEndian.AppendUint16(nil, 0)
	b = binary.BigEndian.AppendUint16(b, port)
	b = binary.BigEndian.AppendUint16(b, id)
	return append(append(b, index, last), piece...)
}

func TestPuzzles(t *testing.T) {
	var p puzzles
	step := func(b []byte, want string, ok bool) {
		t.Helper()
		whole, port, good := p.add(b)
		if string(whole) != want || good != ok || whole != nil && port != 7 {
			t.Errorf("%x makes %q from port %d, %v; want %q, %v", b, whole, port, good, want, ok)
		}
	}
	step(pieceOf(7, 1, 1, 2, "b"), "", true)
	step(pieceOf(7, 2, 0, 1, "x"), "", true)
	step(pieceOf(7, 1, 1, 2, "b"), "", true) // twice
	step(pieceOf(7, 1, 0, 2, "aa"), "", true)
	step(pieceOf(7, 2, 1, 1, "y"), "xy", true)
	step(pieceOf(7, 1, 2, 2, "c"), "aabc", true)
	// The oldest is given up for a third.
	for id := range uint16(3) {
		step(pieceOf(7, 10+id, 0, 1, "1"), "", true)
	}
	step(pieceOf(7, 11, 1, 1, "2"), "12", true)
	step(pieceOf(7, 12, 1, 1, "2"), "12", true)
	step(pieceOf(7, 10, 1, 1, "2"), "", true)
	p = puzzles{}
	for what, b := range map[string][]byte{
		"too short":       pieceOf(7, 1, 0, 1, "")[:5],
		"nothing":         pieceOf(7, 1, 0, 1, ""),
		"beyond the last": pieceOf(7, 1, 2, 1, "a"),
		"the only one":    pieceOf(7, 1, 0, 0, "a"),
		"too many":        pieceOf(7, 1, 0, maxPieces, "a"),
		"no port":         pieceOf(0, 1, 0, 1, "a"),
	} {
		if whole, _, ok := p.add(b); ok || whole != nil || len(p.open) > 0 {
			t.Errorf("%s: took %x", what, b)
		}
	}
	step(pieceOf(7, 1, 0, 1, "a"), "", true)
	step(pieceOf(8, 1, 1, 1, "b"), "", false)  // of another port
	step(pieceOf(7, 1, 1, 2, "bb"), "", false) // of more pieces
	long := string(make([]byte, 40000))
	p = puzzles{}
	step(pieceOf(7, 1, 0, 1, long), "", true)
	step(pieceOf(7, 1, 1, 1, long), "", false)
	if len(p.open) != 0 {
		t.Error("what is too long is kept")
	}
}

func FuzzPuzzles(f *testing.F) {
	f.Add(pieceOf(7, 1, 0, 1, "a"), pieceOf(7, 1, 1, 1, "b"))
	f.Add(pieceOf(7, 1, 63, 63, "a"), pieceOf(7, 2, 0, 63, ""))
	f.Fuzz(func(t *testing.T, a, b []byte) {
		var p puzzles
		for range 3 {
			for _, piece := range [][]byte{a, b} {
				if whole, _, ok := p.add(piece); !ok && whole != nil || len(whole) > longestDatagram {
					t.Errorf("%d bytes, %v", len(whole), ok)
				}
			}
		}
		if len(p.open) > maxPuzzles {
			t.Errorf("%d are kept", len(p.open))
		}
	})
}

// TestLongDatagrams: datagrams as long as UDP's arrive whole or not at all, on a path
// that loses and reorders their pieces.
func TestLongDatagrams(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	c, _ := l.portedConn(53)
	l.net.SetPath(ip(1), ip(2), simnet.Params{Delay: time.Millisecond, Loss: 0.01, Duplicate: 0.05, Reorder: 0.1})
	came := 0
	buf := make([]byte, 64<<10)
	for i := range 40 {
		msg := noise(3000 + 500*i)
		_, err := c.WritePort(msg, 0)
		must(t, err)
		c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
		n, _, err := c.ReadPort(buf)
		if err != nil {
			continue
		}
		if !bytes.Equal(buf[:n], msg) {
			t.Fatalf("%d bytes came back changed, as %d", len(msg), n)
		}
		came++
	}
	if came < 10 {
		t.Errorf("%d of 40 datagrams came back", came)
	}
}
