package perf

import (
	"crypto/rand"
	"io"
	"net"
	"time"
)

// send writes to c until the time is up, then half-closes. count gets the bytes of
// each write.
func send(c net.Conn, d time.Duration, count func(int)) error {
	block := make([]byte, blockSize)
	rand.Read(block) // nothing on the way gains by compressing it
	end := time.Now().Add(d)
	for time.Now().Before(end) {
		n, err := c.Write(block)
		count(n)
		if err != nil {
			return err
		}
	}
	return c.(interface{ CloseWrite() error }).CloseWrite()
}

// receive reads c to its end and returns the time from the first byte to the last.
func receive(c net.Conn, count func(int)) (elapsed time.Duration, err error) {
	block := make([]byte, blockSize)
	var first, last time.Time
	for {
		n, err := c.Read(block)
		if n > 0 {
			last = time.Now()
			if first.IsZero() {
				first = last
			}
			count(n)
		}
		if err == io.EOF {
			return last.Sub(first), nil
		}
		if err != nil {
			return 0, err
		}
	}
}
