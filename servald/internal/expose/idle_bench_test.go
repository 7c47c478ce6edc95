package expose

import (
	"context"
	"io"
	"net"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/serval"
	"github.com/serval-net/serval/servald/internal/conntest"
	"github.com/serval-net/serval/servald/internal/nodetest"
	"github.com/serval-net/serval/servald/internal/splice"
)

// BenchmarkIdle holds connections of programs through both halves, a client's proxy
// and a server's, in this process: what one costs in heap and stacks, without the
// kernel's sockets.
func BenchmarkIdle(b *testing.B) {
	const conns = 2000 // 5 sockets each
	c := nodetest.New(b)
	backend := conntest.Listen(b)
	start(b, c, "svc:idle", backend)
	client := c.Node()
	front := conntest.Listen(b)
	p := proxyTo(client, "svc:idle")
	go p.Serve(b.Context(), front)
	for b.Loop() {
		before := inUse()
		var open []net.Conn
		began := time.Now()
		for range conns {
			near, err := net.Dial("tcp", front.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			far, err := backend.Accept()
			if err != nil {
				b.Fatal(err)
			}
			for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
				io.WriteString(way[0], "x")
				if _, err := io.ReadFull(way[1], make([]byte, 1)); err != nil {
					b.Fatal(err)
				}
			}
			open = append(open, near, far)
		}
		took := time.Since(began)
		b.ReportMetric(float64(inUse()-before)/conns, "B/conn")
		b.ReportMetric(conns/took.Seconds(), "conns/s")
		for _, c := range open {
			c.Close()
		}
	}
}

// start serves a name with a server until the benchmark ends.
func start(b *testing.B, c *nodetest.Cluster, name string, backend net.Listener) {
	s := &Server{Node: On(c.Node()), Config: Config{Name: name, To: backend.Addr().String()}, Log: quietLog()}
	ready := make(chan net.Addr, 1)
	s.Ready = func(a net.Addr) { ready <- a }
	go s.Run(b.Context())
	<-ready
}

// proxyTo leads connections to a service.
func proxyTo(client *serval.Node, service string) *splice.Proxy {
	return &splice.Proxy{Log: quietLog(), Handle: func(ctx context.Context, conn net.Conn) error {
		return splice.Connect(ctx, conn, func(context.Context) (net.Conn, error) { return client.Dial(service) })
	}}
}

// inUse is the heap and stacks in use, in bytes.
func inUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}

// BenchmarkRequest asks for a few bytes and gets them, through both halves.
func BenchmarkRequest(b *testing.B) {
	c := nodetest.New(b)
	backend := conntest.Listen(b)
	go conntest.Echo(backend)
	start(b, c, "svc:ask", backend)
	client := c.Node()
	front := conntest.Listen(b)
	p := proxyTo(client, "svc:ask")
	go p.Serve(b.Context(), front)
	for _, way := range []struct{ name, addr string }{{"direct", backend.Addr().String()}, {"servald", front.Addr().String()}} {
		b.Run(way.name, func(b *testing.B) {
			conn, err := net.Dial("tcp", way.addr)
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
			buf := make([]byte, 64)
			var times []time.Duration
			for b.Loop() {
				began := time.Now()
				conn.Write(buf)
				if _, err := io.ReadFull(conn, buf); err != nil {
					b.Fatal(err)
				}
				times = append(times, time.Since(began))
			}
			slices.Sort(times)
			b.ReportMetric(float64(times[len(times)/2].Nanoseconds())/1000, "median-us")
		})
	}
}
