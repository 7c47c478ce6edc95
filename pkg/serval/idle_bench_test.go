package serval

import (
	"runtime"
	"testing"
	"time"
)

// BenchmarkIdle opens 10,000 connections between two nodes of this process, uses
// each once, and reports what one end of an idle one costs in heap and stacks,
// and how fast the first and the last tenth were dialled.
func BenchmarkIdle(b *testing.B) {
	const conns = 10_000
	c := newCluster(b)
	book := &book{}
	client := startNode(b, Config{Identity: c.join(b, "client"), Resolver: book})
	server := startNode(b, Config{Identity: c.join(b, "server"), Resolver: book})
	ln, err := server.Listen("svc:idle")
	must(b, err)
	for b.Loop() {
		var open []*Conn
		before := memory()
		var tenth [10]time.Duration
		for i := range tenth {
			begin := time.Now()
			for range conns / len(tenth) {
				near, err := client.Dial("svc:idle")
				must(b, err)
				_, err = near.Write([]byte{1})
				must(b, err)
				far, err := ln.AcceptConn()
				must(b, err)
				_, err = far.Read(make([]byte, 1))
				must(b, err)
				open = append(open, near, far)
			}
			tenth[i] = time.Since(begin)
		}
		b.ReportMetric(float64(memory()-before)/(2*conns), "B/end")
		b.ReportMetric(conns/10/tenth[0].Seconds(), "dials/s-first")
		b.ReportMetric(conns/10/tenth[9].Seconds(), "dials/s-last")
		for _, c := range open {
			c.Close()
		}
		if !within(20*time.Second, func() bool { return client.Stats().Flows == 0 && server.Stats().Flows == 0 }) {
			b.Fatalf("not all are forgotten: %+v, %+v", client.Stats(), server.Stats())
		}
	}
}

// memory is the heap and stacks in use, in bytes.
func memory() uint64 {
	runtime.GC()
	runtime.GC() // the first may leave to the second what finalizers held
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
