//go:build linux

// Package traffic is the programs that the measurements of servald's proxies start:
// a server of TCP that echoes, and clients of it. They know nothing of Serval.
package traffic

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Process does what this process was started for, if it was for that: see the
// functions with the names of the words.
//
//	echo ADDR
//	trips ADDR DURATION
//	hold ADDR COUNT
//	greedy ADDR COUNT
//	slow ADDR COUNT
func Process(args []string) (is bool, err error) {
	if len(args) < 2 {
		return false, nil
	}
	count := 0
	if len(args) == 3 {
		fmt.Sscan(args[2], &count)
	}
	switch args[0] {
	case "echo":
		return true, Echo(args[1], os.Stdout)
	case "trips":
		d, err := time.ParseDuration(args[2])
		if err != nil {
			return true, err
		}
		return true, Trips(args[1], d, os.Stdout)
	case "hold":
		return true, Hold(args[1], count, os.Stdin, os.Stdout)
	case "greedy":
		return true, Greedy(args[1], count, os.Stdout)
	case "slow":
		return true, Slow(args[1], count, os.Stdout)
	}
	return false, nil
}

// Echo serves until it is killed. What a client sends comes back; the byte 'F', sent
// first, asks for bytes without end.
func Echo(addr string, out io.Writer) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "ready")
	for {
		c, err := ln.Accept()
		if err != nil {
			return err
		}
		go echo(c)
	}
}

func echo(c net.Conn) {
	defer c.Close()
	b := make([]byte, 512) // many connections, short requests
	for first := true; ; first = false {
		n, err := c.Read(b)
		if err != nil {
			return
		}
		if first && b[0] == 'F' {
			flood := make([]byte, 64<<10)
			for err == nil {
				_, err = c.Write(flood)
			}
			return
		}
		if _, err := c.Write(b[:n]); err != nil {
			return
		}
	}
}

// Times is how long requests took, sorted, in microseconds.
type Times struct {
	P50, P99 float64
	Count    int
}

// Trips asks over one connection, one request of a byte after the other, for so long
// and prints Times as JSON.
func Trips(addr string, d time.Duration, out io.Writer) error {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	// The first ones are those of a connection that is not warm.
	for range 100 {
		if _, err := trip(c); err != nil {
			return err
		}
	}
	var all []time.Duration
	for end := time.Now().Add(d); time.Now().Before(end); {
		took, err := trip(c)
		if err != nil {
			return err
		}
		all = append(all, took)
	}
	slices.Sort(all)
	us := func(q float64) float64 { return float64(all[int(q*float64(len(all)-1))].Nanoseconds()) / 1000 }
	return json.NewEncoder(out).Encode(Times{us(0.5), us(0.99), len(all)})
}

func trip(c net.Conn) (time.Duration, error) {
	var b [1]byte
	start := time.Now()
	if _, err := c.Write([]byte{1}); err != nil {
		return 0, err
	}
	_, err := io.ReadFull(c, b[:])
	return time.Since(start), err
}

// Hold opens so many connections with a round trip on each and says "held". Then, and
// at each line that it reads, it makes another on all of them and says "alive" and on
// how many. At the end of what it reads it closes all.
func Hold(addr string, count int, in io.Reader, out io.Writer) error {
	start := time.Now()
	conns, err := dial(addr, count, true)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "held %d after %.1f s\n", count, time.Since(start).Seconds())
	if n := alive(conns); n != count {
		return fmt.Errorf("%d of %d connections work", n, count)
	}
	fmt.Fprintln(out, "alive", count)
	for lines := bufio.NewScanner(in); lines.Scan(); {
		fmt.Fprintln(out, "alive", alive(conns))
	}
	for _, c := range conns {
		c.Close()
	}
	return nil
}

// atOnce is how many connections are dialled, or tried, at the same time.
const atOnce = 64

// dial opens so many connections, and with check makes a round trip on each before
// the next.
func dial(addr string, count int, check bool) ([]net.Conn, error) {
	conns := make([]net.Conn, count)
	errs := make([]error, count)
	each(count, func(i int) {
		if conns[i], errs[i] = net.DialTimeout("tcp", addr, 20*time.Second); errs[i] == nil && check {
			_, errs[i] = trip(conns[i])
		}
	})
	return conns, errors.Join(errs...)
}

// alive makes a round trip on each connection and returns on how many it worked.
func alive(conns []net.Conn) int {
	var n atomic.Int64
	each(len(conns), func(i int) {
		conns[i].SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := trip(conns[i]); err == nil {
			n.Add(1)
		}
	})
	return int(n.Load())
}

// each calls f with the numbers below count, some at a time.
func each(count int, f func(int)) {
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(atOnce, count) {
		all.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= count {
					return
				}
				f(i)
			}
		})
	}
	all.Wait()
}

// Greedy sends and reads over so many connections as fast as they take it, until it is
// killed.
func Greedy(addr string, count int, out io.Writer) error {
	conns, err := dial(addr, count, false)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "greedy", count)
	failed := make(chan error, 2*count)
	for _, c := range conns {
		go func() {
			_, err := io.Copy(io.Discard, c)
			failed <- err
		}()
		go func() {
			b := make([]byte, 64<<10)
			for i := range b {
				b[i] = 1
			}
			for {
				if _, err := c.Write(b); err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	return <-failed
}

// Slow asks for bytes without end over so many connections and never reads one,
// until it is killed.
func Slow(addr string, count int, out io.Writer) error {
	conns, err := dial(addr, count, false)
	if err != nil {
		return err
	}
	for _, c := range conns {
		if _, err := c.Write([]byte{'F'}); err != nil {
			return err
		}
	}
	fmt.Fprintln(out, "slow", count)
	select {}
}
