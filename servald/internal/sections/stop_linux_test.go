package sections

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/servald/internal/config"
	"github.com/serval-net/serval/servald/internal/nodetest"
)

// TestStop: a program whose connection servald ends in the middle is told by a reset,
// not by an end that it would take for that of the file; so is the server.
func TestStop(t *testing.T) {
	if !inHost(t) {
		return
	}
	up(t)
	cluster := nodetest.New(t)
	server, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer server.Close()
	ended := make(chan error, 16)
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			go func() { // a file without an end
				defer c.Close()
				_, err := io.Copy(c, endless{})
				ended <- err
			}()
		}
	}()
	one, two := newRunner(t, cluster), newRunner(t, cluster)
	_, err = one.Apply(parse(t, fmt.Sprintf("[[expose]]\nname = \"svc:file\"\nto = %q\n", server.Addr())))
	must(t, err)
	_, err = two.Apply(parse(t, "[tun]\n[[forward]]\nlisten = \"127.0.0.1:8080\"\nname = \"svc:file\"\n"))
	must(t, err)
	pool, err := two.pool.get(nil)
	must(t, err)
	v4, _, err := pool.Addrs(sal.MustParseName("svc:file"))
	must(t, err)
	read := make(chan error, 2)
	for _, to := range []string{"127.0.0.1:8080", netip.AddrPortFrom(v4, 80).String()} {
		c, err := net.Dial("tcp", to)
		must(t, err)
		defer c.Close()
		if _, err := io.ReadFull(c, make([]byte, 1<<16)); err != nil {
			t.Errorf("from %s: %v", to, err)
		}
		go func() {
			_, err := io.Copy(io.Discard, c)
			read <- fmt.Errorf("from %s: %w", to, err)
		}()
	}
	two.Stop(config.Duration{Duration: 10 * time.Millisecond})
	for range 2 {
		if err := <-read; !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%v, want a reset", err)
		}
		if err := <-ended; !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			t.Errorf("the server sees %v, want a reset", err)
		}
	}
}

// endless is a file of zeros.
type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }
