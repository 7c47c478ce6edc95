package serval

import (
	"io"
	"sync"
	"testing"
)

// acceptEcho echoes on every connection.
func acceptEcho(l *Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			io.Copy(c, c)
			c.Close()
		}()
	}
}

func BenchmarkDial(b *testing.B) {
	n := startNode(b, Config{})
	l, err := n.Listen("svc:echo")
	if err != nil {
		b.Fatal(err)
	}
	go acceptEcho(l)
	one := func() error {
		c, err := n.Dial("svc:echo")
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := c.Write([]byte{1}); err != nil {
			return err
		}
		_, err = io.ReadFull(c, make([]byte, 1))
		return err
	}
	b.Run("serial", func(b *testing.B) {
		for b.Loop() {
			if err := one(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("16", func(b *testing.B) {
		var wg sync.WaitGroup
		work := make(chan struct{})
		for range 16 {
			wg.Go(func() {
				for range work {
					if err := one(); err != nil {
						b.Error(err)
					}
				}
			})
		}
		for b.Loop() {
			work <- struct{}{}
		}
		close(work)
		wg.Wait()
	})
}

func BenchmarkBulk(b *testing.B) {
	c1, c2, stop := pipe(b)
	defer stop()
	buf := make([]byte, 128<<10)
	b.SetBytes(int64(len(buf)))
	go func() {
		for {
			if _, err := c1.Write(buf); err != nil {
				return
			}
		}
	}()
	for b.Loop() {
		if _, err := io.ReadFull(c2, buf); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRequest(b *testing.B) {
	c1, c2, stop := pipe(b)
	defer stop()
	go io.Copy(c2, c2)
	buf := []byte{1}
	for b.Loop() {
		c1.Write(buf)
		if _, err := io.ReadFull(c1, buf); err != nil {
			b.Fatal(err)
		}
	}
}
