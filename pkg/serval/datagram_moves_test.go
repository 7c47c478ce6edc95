package serval

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"
)

// ticking sends numbered datagrams over c, to an echo, every few milliseconds
// until f returns, and then until the last is answered. It returns how long there
// was no answer at most.
func ticking(t *testing.T, c *Conn, f func()) (longest time.Duration) {
	t.Helper()
	done := make(chan struct{})
	over := (<-chan struct{})(done)
	go func() { defer close(done); f() }()
	buf := make([]byte, 100)
	last := time.Now()
	after := -1 // the first datagram sent after f
	for i := 0; ; i++ {
		if _, err := fmt.Fprintf(c, "%d", i); err != nil {
			t.Fatalf("datagram %d: %v%s", i, err, describe(c))
		}
		c.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
		for {
			n, err := c.Read(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if err != nil {
				t.Fatalf("after datagram %d: %v%s", i, err, describe(c))
			}
			longest = max(longest, time.Since(last))
			last = time.Now()
			if k, err := strconv.Atoi(string(buf[:n])); err != nil || after >= 0 && k >= after {
				return longest
			}
		}
		select {
		case <-over:
			after, over = i+1, nil
		default:
		}
		if time.Since(last) > 20*time.Second {
			t.Fatalf("no answers any more%s", describe(c))
		}
	}
}

// TestDatagramFlowsMigrate: a connected datagram flow lives through what a stream
// lives through.
func TestDatagramFlowsMigrate(t *testing.T) {
	for name, f := range map[string]func(w *two, c *Conn){
		"interface down": func(w *two, c *Conn) {
			w.clientHost.Interface(c.Flows()[0].Local.Addr()).SetUp(false)
		},
		"interface of the server down": func(w *two, c *Conn) {
			w.serverHost.Interface(c.Flows()[0].Remote.Addr()).SetUp(false)
		},
		"black hole": func(w *two, c *Conn) {
			w.blackhole(c.Flows()[0].Local.Addr(), w.s1, true)
			w.blackhole(c.Flows()[0].Local.Addr(), w.s2, true)
		},
		"other address": func(w *two, c *Conn) {
			w.clientHost.Interface(w.c1).SetUp(false)
			w.clientHost.Interface(w.c2).SetUp(false)
			w.clientHost.Add(ip(300))
		},
		"asked for": func(w *two, c *Conn) {
			to := w.c1
			if c.Flows()[0].Local.Addr() == to {
				to = w.c2
			}
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			must(w, c.Migrate(ctx, MigrateTo{Addr: to}))
		},
	} {
		for _, policy := range []Policy{{}, {Mode: Failover}} {
			t.Run(name+"/"+policy.String(), func(t *testing.T) {
				t.Parallel()
				w := newTwo(t, Config{Policy: policy}, Config{})
				p, err := w.server.ListenPacket("svc:echo")
				must(t, err)
				defer p.Close()
				go echoPackets(p)
				c, err := w.client.DialConn(t.Context(), "udp", "svc:echo")
				must(t, err)
				defer c.Close()
				ticking(t, c, func() {}) // an instance that never had the OPEN cannot move
				var was Flow
				longest := ticking(t, c, func() {
					time.Sleep(50 * time.Millisecond)
					was = c.Flows()[0]
					f(w, c)
					time.Sleep(50 * time.Millisecond)
				})
				t.Logf("%s: no answer for %v at most%s", t.Name(), longest, describe(c))
				if longest > 3*time.Second {
					t.Error("it took longer than noticing silence and one move do")
				}
				for _, fl := range c.Flows() {
					if fl.State == "active" && (fl.Local != was.Local || fl.Remote != was.Remote) {
						return
					}
				}
				t.Errorf("the path is still the one before: %+v%s", was, describe(c))
			})
		}
	}
}
