package netstack

import (
	"io"
	"runtime"
	"testing"
)

// BenchmarkBulk moves 128 KB writes through two endpoints and a copying wire.
func BenchmarkBulk(b *testing.B) {
	s := newStack(b)
	x, y := pipe(b, s, s, window)
	const size = 128 << 10
	b.SetBytes(size)
	b.ReportAllocs()
	done := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, y.Conn())
		done <- err
	}()
	buf := make([]byte, size)
	for b.Loop() {
		x.Conn().Write(buf)
	}
	x.Conn().CloseWrite()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
}

// BenchmarkPingPong exchanges single bytes.
func BenchmarkPingPong(b *testing.B) {
	s := newStack(b)
	x, y := pipe(b, s, s, window)
	go io.Copy(y.Conn(), y.Conn())
	b.ReportAllocs()
	one := make([]byte, 1)
	for b.Loop() {
		x.Conn().Write(one)
		x.Conn().Read(one)
	}
	x.Conn().Close()
}

// BenchmarkOpen opens and aborts endpoints.
func BenchmarkOpen(b *testing.B) {
	s := newStack(b)
	b.ReportAllocs()
	for b.Loop() {
		e, err := s.Open(&wire{})
		if err != nil {
			b.Fatal(err)
		}
		e.Conn().Abort(io.EOF)
	}
}

// BenchmarkIdle reports the memory an open endpoint costs.
func BenchmarkIdle(b *testing.B) {
	const n = 10_000
	used := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc + m.StackInuse)
	}
	for b.Loop() {
		s := newStack(b)
		held := make([]*Endpoint, n)
		link := &wire{}
		before := used()
		for i := range held {
			held[i], _ = s.Open(link)
		}
		b.ReportMetric((used()-before)/n, "B/endpoint")
		b.ReportMetric(float64(runtime.NumGoroutine()), "goroutines")
		runtime.KeepAlive(held)
		s.Close()
	}
}
