//go:build linux

package main

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/serval-net/serval/pkg/serval"
)

// roleArg makes this program one of those of another host.
const roleArg = "story-role"

func role(name string, args []string) error {
	switch {
	case name == "rendezvous" && len(args) == 1:
		return rendezvous(args[0])
	case name == "source" && len(args) == 1:
		pace, err := strconv.ParseInt(args[0], 10, 64)
		if err != nil {
			return err
		}
		return serveSource(pace)
	}
	return fmt.Errorf("unknown role %q", name)
}

// rendezvous is where the two ends of a connection that both moved meet.
func rendezvous(at string) error {
	addr, err := netip.ParseAddrPort(at)
	if err != nil {
		return err
	}
	config, err := serval.ConfigFromEnv()
	if err != nil {
		return err
	}
	config.Listen, config.ServeRendezvous = []netip.AddrPort{addr}, true
	node, err := serval.NewNode(config)
	if err != nil {
		return err
	}
	defer node.Close()
	fmt.Println("rendezvous at", at)
	select {}
}

// source answers requests with random data, until it is told to stop, and tells
// what it has sent.
type source struct {
	pace int64 // bytes per second for each request, 0 is no limit
	stop chan struct{}
	work sync.WaitGroup
}

// serveSource serves it twice: to programs that know only TCP, and as a service.
func serveSource(pace int64) error {
	s := &source{pace: pace, stop: make(chan struct{})}
	plain, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	app, err := serval.Listen(appService)
	if err != nil {
		return err
	}
	for _, l := range []net.Listener{plain, app} {
		go http.Serve(l, s)
	}
	fmt.Println("plain HTTP at", plain.Addr())
	lines := bufio.NewScanner(os.Stdin)
	lines.Scan() // "stop"
	close(s.stop)
	s.work.Wait()
	select {} // what is under way arrives
}

func (s *source) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.work.Add(1)
	defer s.work.Done()
	data := rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%-32.32s", r.URL.Path))))
	sum, total, start := sha256.New(), int64(0), time.Now()
	w.Header().Set("Content-Type", "application/octet-stream")
	buf := make([]byte, 32<<10)
	for {
		select {
		case <-s.stop:
			fmt.Printf("sent %s %d %x\n", r.URL.Path, total, sum.Sum(nil))
			return
		default:
		}
		data.Read(buf)
		if _, err := w.Write(buf); err != nil {
			fmt.Printf("%s broke off after %d bytes: %v\n", r.URL.Path, total, err)
			return
		}
		sum.Write(buf)
		total += int64(len(buf))
		if s.pace > 0 {
			time.Sleep(time.Until(start.Add(time.Duration(total * int64(time.Second) / s.pace))))
		}
	}
}
