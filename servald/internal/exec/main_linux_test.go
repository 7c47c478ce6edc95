package exec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/serval-net/serval/servald/internal/exit"
	"github.com/serval-net/serval/servald/internal/tun"
)

// This executable is front, carrier and program of its tests as well.
const (
	asFront   = "run-as-front"
	asCarrier = "run-as-carrier"
	asProgram = "run-as-program"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		args := os.Args[2:]
		switch os.Args[1] {
		case asFront:
			code, err := Front(args, func(fd int) []string {
				return append([]string{asCarrier, strconv.Itoa(fd)}, args...)
			})
			var e *Error
			if errors.As(err, &e) {
				fmt.Fprintln(os.Stderr, "servald:", err)
				code = e.Code
			}
			os.Exit(code)
		case asCarrier:
			fd, _ := strconv.Atoi(args[0])
			err := Carry(context.Background(), fd, Config{Command: args[1:], Open: func(context.Context) (tun.Handler, func() error, error) {
				if os.Getenv("EXEC_TEST_FAIL") != "" {
					return nil, nil, errors.New("no cluster here")
				}
				return &handler{exit.New(exit.Config{})}, func() error { return nil }, nil
			}})
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		case asProgram:
			program(args)
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

// serviceAddr is the only service of handler, service.test. What it is asked for on a
// port it answers with its port and the request.
var serviceAddr = netip.MustParseAddr("198.18.0.9")

// handler has a DNS server and a service; other addresses are the host's.
type handler struct{ *exit.Exit }

func (h *handler) Stream(ctx context.Context, src, dst netip.AddrPort) (net.Conn, error) {
	if dst.Addr() != serviceAddr {
		return h.Exit.Stream(ctx, src, dst)
	}
	if dst.Port() == 1 {
		return nil, syscall.ECONNREFUSED
	}
	a, b := net.Pipe()
	go func() {
		defer b.Close()
		buf := make([]byte, 1000)
		for {
			n, err := b.Read(buf)
			if err != nil {
				return
			}
			fmt.Fprintf(b, "port %d: %s", dst.Port(), buf[:n])
		}
	}()
	return a, nil
}

func (h *handler) Datagrams(ctx context.Context, src, dst netip.AddrPort) (tun.Datagrams, error) {
	if dst != netip.MustParseAddrPort("198.18.0.1:53") {
		return h.Exit.Datagrams(ctx, src, dst)
	}
	return &nameServer{answers: make(chan []byte, 10)}, nil
}

func (h *handler) Ping(ctx context.Context, dst netip.Addr) error {
	if dst == serviceAddr {
		return nil
	}
	return h.Exit.Ping(ctx, dst)
}

// nameServer knows service.test.
type nameServer struct{ answers chan []byte }

func (s *nameServer) WriteTo(b []byte, _ uint16) (int, error) {
	var q dns.Msg
	if err := q.Unpack(b); err != nil {
		return 0, err
	}
	r := new(dns.Msg).SetReply(&q)
	switch q.Question[0] {
	case dns.Question{Name: "service.test.", Qtype: dns.TypeA, Qclass: dns.ClassINET}:
		rr, _ := dns.NewRR("service.test. 60 A " + serviceAddr.String())
		r.Answer = append(r.Answer, rr)
	default:
		if q.Question[0].Name != "service.test." {
			r.Rcode = dns.RcodeNameError
		}
	}
	answer, err := r.Pack()
	s.answers <- answer
	return len(b), err
}

func (s *nameServer) ReadFrom(b []byte) (int, uint16, error) {
	answer, ok := <-s.answers
	if !ok {
		return 0, 0, net.ErrClosed
	}
	return copy(b, answer), 53, nil
}

func (s *nameServer) SetReadDeadline(time.Time) error { return nil }
func (s *nameServer) Close() error                    { close(s.answers); return nil }

// gone is the datagram by which a client says that it has its answer: what a program that
// ends has sent last may be lost.
const gone = "gone"

// program does what a program might do.
func program(args []string) {
	check := func(err error) {
		if err != nil {
			fmt.Println("error:", err)
			os.Exit(1)
		}
	}
	switch args[0] {
	case "ask": // NETWORK ADDRESS TEXT: sends the text, prints the answer
		c, err := net.Dial(args[1], args[2])
		check(err)
		c.SetDeadline(time.Now().Add(20 * time.Second))
		_, err = c.Write([]byte(args[3]))
		check(err)
		buf := make([]byte, 1000)
		n, err := c.Read(buf)
		check(err)
		fmt.Printf("%s\n", buf[:n])
	case "listen": // NETWORK ADDRESS: prints "listening", then what it gets, and answers "pong", until its client goes
		if args[1] == "udp" {
			c, err := net.ListenPacket(args[1], args[2])
			check(err)
			fmt.Println("listening")
			for buf := make([]byte, 1000); ; {
				n, from, err := c.ReadFrom(buf)
				check(err)
				fmt.Printf("%s\n", buf[:n])
				if string(buf[:n]) == gone {
					return
				}
				c.WriteTo([]byte("pong"), from)
			}
		}
		ln, err := net.Listen(args[1], args[2])
		check(err)
		fmt.Println("listening")
		c, err := ln.Accept()
		check(err)
		buf := make([]byte, 1000)
		n, err := c.Read(buf)
		check(err)
		fmt.Printf("%s\n", buf[:n])
		c.Write([]byte("pong"))
		io.Copy(io.Discard, c)
	}
}
