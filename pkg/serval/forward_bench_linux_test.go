package serval

import (
	"bufio"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/serval-net/serval/internal/underlay"
	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/servicetable"
)

// BenchmarkForward measures how many first packets a second a service router
// forwards over loopback on one core: SYNs of 1024 bytes, as diallers send them,
// from 512 sources, one at a time and in trains. Router and load are processes of
// their own, each on one CPU. The load sends more than can be forwarded, and counts
// what arrives. Beside it the same datagrams go through plain UDP sockets: read and
// sent on as they come, not looked at ("plain"), and gathered for their next hop as
// the router does ("gathered"), which is the ceiling of its input and output.
func BenchmarkForward(b *testing.B) {
	if _, err := exec.LookPath("taskset"); err != nil {
		b.Skip("needs taskset, of the package util-linux")
	}
	for _, load := range []string{"sources", "trains"} {
		for _, by := range []string{"router", "plain", "gathered"} {
			b.Run(load+"/"+by, func(b *testing.B) {
				var rate, cpu float64
				for range b.N {
					r, c := forwardedPerSecond(b, load, by)
					rate, cpu = rate+r, cpu+c
				}
				b.ReportMetric(rate/float64(b.N), "SYN/s")
				b.ReportMetric(cpu/float64(b.N), "cpu-ns/SYN")
				b.ReportMetric(1e9*float64(b.N)/cpu, "SYN/core-s")
				b.ReportMetric(0, "ns/op")
			})
		}
	}
}

// forwardedPerSecond runs a load of one second.
func forwardedPerSecond(b *testing.B, load, by string) (rate, cpu float64) {
	gen := startPart(b, "0", "load "+load)
	sink := gen.line(b)
	router := startPart(b, "1", by+" "+sink)
	fmt.Fprintln(gen.in, router.line(b))
	var received int
	var took time.Duration
	if _, err := fmt.Sscan(gen.line(b), &received, &took); err != nil {
		b.Fatal(err)
	}
	router.in.Close()
	var forwarded int
	var used time.Duration
	if _, err := fmt.Sscan(router.line(b), &forwarded, &used); err != nil || forwarded < received/2 {
		b.Fatalf("forwarded %d of at least %d: %v", forwarded, received, err)
	}
	return float64(received) / took.Seconds(), float64(used) / float64(forwarded)
}

// part is a process of the benchmark.
type part struct {
	in interface {
		Close() error
		Write([]byte) (int, error)
	}
	out *bufio.Scanner
}

func startPart(b *testing.B, cpu, what string) *part {
	procs := "GOMAXPROCS=1"
	if strings.HasPrefix(what, "load") {
		procs = "GOMAXPROCS=2" // the sink must not wait for the sender to pause
	}
	cmd := exec.Command("taskset", "-c", cpu, os.Args[0], "-test.run=^TestForwardPart$")
	cmd.Env = append(os.Environ(), "SERVAL_FORWARD_PART="+what, procs)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(b, err)
	out, err := cmd.StdoutPipe()
	must(b, err)
	must(b, cmd.Start())
	b.Cleanup(func() { in.Close(); cmd.Wait() })
	return &part{in, bufio.NewScanner(out)}
}

func (p *part) line(b *testing.B) string {
	if !p.out.Scan() {
		b.Fatal("a process of the benchmark ended early")
	}
	return p.out.Text()
}

// TestForwardPart is not a test, but what the processes of BenchmarkForward run.
func TestForwardPart(t *testing.T) {
	what, arg, _ := strings.Cut(os.Getenv("SERVAL_FORWARD_PART"), " ")
	switch what {
	case "":
		t.Skip("only for BenchmarkForward")
	case "load":
		loadPart(t, arg)
	default:
		routerPart(t, what, netip.MustParseAddrPort(arg))
	}
}

// routerPart forwards to the sink until its input ends.
func routerPart(t *testing.T, how string, sink netip.AddrPort) {
	var count func() uint64
	if how == "router" {
		id, _, err := identity.Ephemeral(time.Now())
		must(t, err)
		n := startNode(t, Config{Identity: id, Forward: true})
		_, err = n.AddRule(Rule{Service: "svc:bench", Action: servicetable.Forward, Next: []netip.AddrPort{sink}})
		must(t, err)
		fmt.Println(n.sockets.list()[0].addr)
		count = n.router.forwarded.Load
	} else {
		var sent atomic.Uint64
		var yard trainYard
		s, err := (&underlay.UDP{}).Listen(loopback[0], func(b *underlay.Batch) {
			sent.Add(uint64((len(b.Data) + b.Seg - 1) / b.Seg))
			if how == "plain" {
				b.Socket.Send(b.Data, b.Seg, sink)
				return
			}
			for data := b.Data; len(data) > 0; {
				pkt := data[:min(b.Seg, len(data))]
				yard.put(pkt, nextHop{sink, b.Socket})
				data = data[len(pkt):]
			}
			if !b.More {
				yard.flush()
			}
		})
		must(t, err)
		defer s.Close()
		fmt.Println(s.LocalAddr())
		count = sent.Load
	}
	before := processTime()
	bufio.NewReader(os.Stdin).ReadString('\n')
	fmt.Println(count(), int64(processTime()-before))
}

func processTime() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// loadPart sends SYNs to the address that it reads and counts what arrives at the
// one that it writes.
func loadPart(t *testing.T, how string) {
	const sources = 512
	var received atomic.Int64
	udp := &underlay.UDP{NoSpin: true}
	sink, err := udp.Listen(loopback[0], func(b *underlay.Batch) {
		received.Add(int64((len(b.Data) + b.Seg - 1) / b.Seg))
	})
	must(t, err)
	defer sink.Close()
	fmt.Println(sink.LocalAddr())
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	must(t, err)
	to := netip.MustParseAddrPort(strings.TrimSpace(line))
	var conns []int // bare descriptors: this side must be the faster one
	for range sources {
		c, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		must(t, err)
		defer unix.Close(c)
		must(t, unix.Connect(c, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}))
		if how == "trains" {
			must(t, unix.SetsockoptInt(c, unix.SOL_UDP, unix.UDP_SEGMENT, 1024))
		}
		conns = append(conns, c)
	}
	train := make([]byte, 0, 60*1024)
	for i := range 60 {
		syn := sal.SYN{Flow: sal.FlowID(i + 1), HopLimit: 16, Service: sal.MustParseName("svc:bench").ServiceID(), Noise: noise(32)}
		for short := 1024 - 76; short > 0; short -= 2 + 235 { // 948 is four times 237
			syn.Extensions, _ = syn.Extensions.Add(sal.ExtPad, make([]byte, 235))
		}
		train = syn.Append(train)
	}
	size := uintptr(1024)
	if how == "trains" {
		size = uintptr(len(train))
	}
	send := func(d time.Duration) {
		for end, i := time.Now().Add(d), 0; ; i++ {
			unix.RawSyscall(unix.SYS_WRITE, uintptr(conns[i%sources]), uintptr(unsafe.Pointer(&train[0])), size)
			if i%64 == 0 && time.Now().After(end) {
				return
			}
		}
	}
	send(200 * time.Millisecond)
	before, begin := received.Load(), time.Now()
	send(time.Second)
	n, took := received.Load()-before, time.Since(begin)
	fmt.Println(n, int64(took))
	time.Sleep(50 * time.Millisecond)
}
