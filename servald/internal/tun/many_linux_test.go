package tun

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/refs"
)

// quiet is a connection on which nothing happens until the program ends it. Like one to a
// service, it has its own way to copy.
type quiet struct {
	net.Conn
	ended chan struct{}
	once  *sync.Once
}

func (q quiet) Write(b []byte) (int, error)      { return len(b), nil }
func (q quiet) WriteTo(io.Writer) (int64, error) { <-q.ended; return 0, nil }
func (q quiet) CloseWrite() error                { return q.Close() }
func (q quiet) Close() error                     { q.once.Do(func() { close(q.ended) }); return nil }

// Thousands of idle connections cost little, and nothing is left of them.
// TUN_TEST_STREAMS says how many thousands.
func TestManyIdleStreams(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	refs.SetLeakMode(refs.NoLeakChecking) // it remembers a stack for each object
	n := 2000
	if k, err := strconv.Atoi(os.Getenv("TUN_TEST_STREAMS")); err == nil {
		n = 1000 * k
	}
	var limit syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	limit.Cur = limit.Max
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
	if uint64(n)+100 > limit.Cur {
		t.Skipf("needs %d open files", n+100)
	}
	s := start(t, fake{stream: func(context.Context, netip.AddrPort, netip.AddrPort) (net.Conn, error) {
		return quiet{ended: make(chan struct{}), once: new(sync.Once)}, nil
	}}, Config{})
	before, goroutines := memoryInUse(), runtime.NumGoroutine()
	conns := make([]*net.TCPConn, n)
	buf := make([]byte, 32<<10)
	began := time.Now()
	for i := range conns {
		conns[i] = dial(t, someone, 80)
		conns[i].SetDeadline(time.Time{})
		conns[i].Write(buf) // so that buffers were in use
	}
	t.Logf("%d connections in %v", n, time.Since(began))
	eventually(t, "all are open", func() bool { return s.Stats().Streams == n })
	each := (memoryInUse() - before) / n
	t.Logf("%d bytes for each of %d idle connections, %d goroutines", each, n, runtime.NumGoroutine()-goroutines)
	// The client's half is in here too: about 2 KiB.
	if each > 40<<10 {
		t.Errorf("each idle connection costs %d bytes", each)
	}
	for _, c := range conns {
		c.Close()
	}
	eventually(t, "all are closed", func() bool { return s.Stats().Streams == 0 })
	eventually(t, "their goroutines have ended", func() bool { return runtime.NumGoroutine() <= goroutines+2 })
}

// memoryInUse is the memory of the heap and of goroutines, in bytes.
func memoryInUse() int {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapInuse + m.StackInuse)
}
