package expose

import (
	"io"
	"net"
	"os"
	"sync"
	"testing"

	"github.com/serval-net/serval/servald/internal/conntest"
)

// TestNothingIsLeft: after connections of every kind, ended in every way, no descriptor
// is left; that no goroutine is, TestMain sees.
func TestNothingIsLeft(t *testing.T) {
	w := newWorld(t)
	udp := w.packets()
	go conntest.EchoPackets(udp)
	greets := w.backend(greeter("hi"))
	servers := []*Server{
		{Config: Config{Name: "svc:tcp", To: greets}},
		{Config: Config{Name: "svc:down", To: "127.0.0.1:1"}},
		{Config: Config{Name: "svc:cat", Command: []string{"cat"}}},
		{Config: Config{Name: "svc:udp", To: "udp:" + udp.LocalAddr().String()}},
	}
	for _, s := range servers {
		w.serve(s)
	}
	round := func() {
		var wg sync.WaitGroup
		for i := range 24 {
			wg.Go(func() {
				switch i % 6 {
				case 0: // to the end
					w.ask("svc:tcp", 0, "hello")
				case 1: // given up by the client
					c := w.dial("tcp", "svc:tcp", 0)
					io.ReadFull(c, make([]byte, 2))
					c.Abort()
				case 2: // half-way
					c := w.dial("tcp", "svc:tcp", 0)
					c.Write(make([]byte, 100_000))
					c.Close()
				case 3:
					w.ask("svc:down", 0, "hello")
				case 4:
					w.ask("svc:cat", 0, "hello")
				case 5:
					c := w.dial("udp", "svc:udp", 0)
					w.say(c, "hello", 0)
					c.Close()
				}
			})
		}
		wg.Wait()
		eventually(t, "all is over", func() bool {
			for _, s := range servers {
				if s.Status().Connections > 0 {
					return false
				}
			}
			return true
		})
	}
	count := func() int {
		all, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skip(err)
		}
		return len(all)
	}
	round() // what is made once is made
	before := count()
	for range 3 {
		round()
	}
	eventually(t, "the descriptors are those from before", func() bool { return count() <= before })
	if c, err := net.Dial("tcp", greets); err != nil {
		t.Error(err)
	} else {
		c.Close()
	}
}
