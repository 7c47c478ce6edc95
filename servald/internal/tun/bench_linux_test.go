package tun

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/refs"

	"github.com/serval-net/serval/internal/netstack"
	"github.com/serval-net/serval/servald/internal/nodetest"
)

// plenty is a connection that takes and gives all that it can.
type plenty struct{ quiet }

func (p plenty) WriteTo(w io.Writer) (n int64, err error) {
	for b := make([]byte, 44*1400); err == nil; { // a train of Serval's packets
		var k int
		k, err = w.Write(b)
		n += int64(k)
	}
	return n, err
}

func (p plenty) ReadFrom(r io.Reader) (n int64, err error) {
	src := r.(netstack.Source)
	for b := make([]byte, 64<<10); ; {
		if _, err := src.Buffered(); err != nil {
			return n, err
		}
		k, err := src.Read(b)
		n += int64(k)
		if err != nil {
			return n, err
		}
	}
}

// BenchmarkStreams moves 128 KB writes of a program into the stack, and out of it, over a
// real device. CPU time is that of both.
func BenchmarkStreams(b *testing.B) {
	if !nodetest.IsInside() {
		inNewNamespace(b)
		return
	}
	inNamespace(b)
	refs.SetLeakMode(refs.NoLeakChecking)
	start(b, fake{stream: func(context.Context, netip.AddrPort, netip.AddrPort) (net.Conn, error) {
		return plenty{quiet{ended: make(chan struct{}), once: new(sync.Once)}}, nil
	}}, Config{})
	const size = 128 << 10
	buf := make([]byte, size)
	for _, addr := range []string{someone, someone6} {
		c := dial(b, addr, 80)
		c.SetDeadline(time.Time{})
		for way, move := range map[string]func([]byte) (int, error){"in": c.Write, "out": c.Read} {
			b.Run(way+"/"+addr, func(b *testing.B) {
				b.SetBytes(size)
				before := cpuTime()
				for b.Loop() {
					for n := 0; n < size; {
						k, err := move(buf[n:])
						must(b, err)
						n += k
					}
				}
				b.ReportMetric(float64(cpuTime()-before)/float64(b.N*size)*1e3, "CPU-ms/GB")
			})
		}
		c.SetLinger(0)
		c.Close()
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(0, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// inNewNamespace runs a benchmark in an empty network namespace.
func inNewNamespace(b *testing.B) {
	out, err := nodetest.RunInside(b, syscall.CLONE_NEWNET, "-test.run=^$", "-test.bench=^"+b.Name()+"$")
	if err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, b.Name()+"/") {
			os.Stdout.WriteString(line)
		}
	}
	b.SkipNow()
}
