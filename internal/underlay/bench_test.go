package underlay

import (
	"bufio"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// BenchmarkThroughput sends 44 datagrams of 1472 bytes per operation over
// loopback. What arrives is the figure; what is sent in vain is "lost".
func BenchmarkThroughput(b *testing.B) {
	for _, v := range variants {
		b.Run(v.name, func(b *testing.B) {
			u := UDP{disable: v.off}
			addr := netip.AddrPortFrom(loopbacks[0], 0)
			var got, batches atomic.Int64
			rx := listen(b, &u, addr, func(b *Batch) {
				got.Add(int64(len(b.Data)))
				batches.Add(1)
			})
			defer rx.Close()
			tx := listen(b, &u, addr, ignore)
			defer tx.Close()
			buf := make([]byte, 44*1472)
			b.ReportAllocs()
			start := time.Now()
			sent := 0
			for b.Loop() {
				if err := tx.Send(buf, 1472, rx.LocalAddr()); err != nil {
					b.Fatal(err)
				}
				sent += len(buf)
			}
			n := float64(got.Load())
			b.ReportMetric(n*8/float64(time.Since(start).Nanoseconds()), "Gbit/s")
			b.ReportMetric(100*(1-n/float64(sent)), "%lost")
			b.ReportMetric(n/1472/float64(batches.Load()), "dgrams/read")
		})
	}
}

// BenchmarkPingPong bounces a datagram between two processes.
func BenchmarkPingPong(b *testing.B) {
	for _, spin := range []bool{false, true} {
		b.Run(fmt.Sprintf("spin=%v", spin), func(b *testing.B) {
			peer := exec.Command(os.Args[0], "-test.run=^TestEchoPeer$")
			peer.Env = append(os.Environ(), fmt.Sprintf("UNDERLAY_ECHO=%v", spin))
			stop, _ := peer.StdinPipe()
			out, _ := peer.StdoutPipe()
			if err := peer.Start(); err != nil {
				b.Fatal(err)
			}
			line, err := bufio.NewReader(out).ReadString('\n')
			if err != nil {
				b.Fatal(err)
			}
			to := netip.MustParseAddrPort(line[:len(line)-1])

			u := UDP{NoSpin: !spin}
			back := make(chan bool, 1)
			s := listen(b, &u, netip.AddrPortFrom(loopbacks[0], 0), func(*Batch) { back <- true })
			var rtts []time.Duration
			cpu := cpuTime()
			start := time.Now()
			for b.Loop() {
				sent := time.Now()
				s.Send([]byte{1}, 1, to)
				<-back
				rtts = append(rtts, time.Since(sent))
			}
			took := time.Since(start)
			cpu = cpuTime() - cpu
			slices.Sort(rtts)
			b.ReportMetric(float64(rtts[len(rtts)/2].Nanoseconds())/1e3, "us-p50")
			b.ReportMetric(float64(rtts[len(rtts)*99/100].Nanoseconds())/1e3, "us-p99")
			b.ReportMetric(float64(cpu)/float64(took), "cpus")
			s.Close()
			stop.Close()
			peer.Wait()
		})
	}
}

// TestEchoPeer is BenchmarkPingPong's other process.
func TestEchoPeer(t *testing.T) {
	mode := os.Getenv("UNDERLAY_ECHO")
	if mode == "" {
		t.Skip("not started by BenchmarkPingPong")
	}
	u := UDP{NoSpin: mode == "false"}
	s := listen(t, &u, netip.AddrPortFrom(loopbacks[0], 0), func(b *Batch) {
		b.Socket.Send(b.Data, b.Seg, b.From)
	})
	fmt.Println(s.LocalAddr())
	os.Stdin.Read(make([]byte, 1)) // until it is closed
	s.Close()
}
