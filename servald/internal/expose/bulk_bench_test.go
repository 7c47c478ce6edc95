package expose

import (
	"io"
	"net"
	"testing"

	"github.com/serval-net/serval/servald/internal/conntest"
	"github.com/serval-net/serval/servald/internal/nodetest"
)

// BenchmarkBulk sends through the server's half to a server of TCP, and receives from
// one, in this process.
func BenchmarkBulk(b *testing.B) {
	const size = 1 << 20
	for _, way := range []string{"in", "out"} {
		b.Run(way, func(b *testing.B) {
			c := nodetest.New(b)
			backend := conntest.Listen(b)
			start(b, c, "svc:bulk", backend)
			near, err := c.Node().Dial("svc:bulk")
			if err != nil {
				b.Fatal(err)
			}
			defer near.Close()
			far, err := backend.Accept()
			if err != nil {
				b.Fatal(err)
			}
			defer far.Close()
			from, to := net.Conn(near), far
			if way == "out" {
				from, to = far, near
			}
			b.SetBytes(size)
			go func() {
				buf := make([]byte, size)
				for {
					if _, err := from.Write(buf); err != nil {
						return
					}
				}
			}()
			buf := make([]byte, size)
			for b.Loop() {
				if _, err := io.ReadFull(to, buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
