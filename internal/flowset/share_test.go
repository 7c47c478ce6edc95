package flowset

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// rival is a bulk sender on a shared bottleneck.
type rival struct {
	name  string
	start func()
	got   func() int
	from  int
	debug func() string
}

// bottleneck joins senders of the named kinds, all with the same round trip,
// starting about a second after one another.
func bottleneck(w *world, link *wire, rtt time.Duration, seed uint64, kinds ...string) []*rival {
	var rs []*rival
	for i, kind := range kinds {
		r := &rival{name: kind, debug: func() string { return "" }}
		switch kind {
		case "serval":
			a, b := newPair(w, seed+uint64(i)*7, rtt)
			a.out = link
			b.out = w.newWire(seed+uint64(i), 0, rtt-link.delay)
			r.start = func() { a.bulk(0) }
			r.got = func() int { return b.got }
			r.debug = func() string { return a.debug() }
		default:
			var cc congestion = newCubic()
			if kind == "bbr" {
				cc = newBBR(seed + uint64(i))
			}
			t := newTCP(w, link, rtt, cc)
			r.start, r.got = t.start, func() int { return t.got }
		}
		w.at(w.now.Add(time.Duration(i)*time.Second+time.Duration(link.rng.IntN(1e9))), r.start)
		rs = append(rs, r)
	}
	return rs
}

func jain(xs []float64) float64 {
	var sum, sq float64
	for _, x := range xs {
		sum += x
		sq += x * x
	}
	return sum * sum / (float64(len(xs)) * sq)
}

func TestSharing(t *testing.T) {
	long(t)
	const rate, rtt = 100e6 / 8, 20 * time.Millisecond
	seeds, span := uint64(1), 30
	if n, err := strconv.Atoi(os.Getenv("SEEDS")); err == nil {
		seeds = uint64(n)
	}
	for _, tc := range []struct {
		kinds string
		queue time.Duration
		least float64 // share of each
		jain  float64
	}{
		{"serval cubic", 50 * time.Millisecond, 0.35, 0},
		{"cubic serval", 50 * time.Millisecond, 0.35, 0},
		{"serval bbr", 50 * time.Millisecond, 0.35, 0},
		{"bbr serval", 50 * time.Millisecond, 0.35, 0},
		{"serval serval", 50 * time.Millisecond, 0.475, 0},
		{"serval serval serval serval", 50 * time.Millisecond, 0, 0.9},
		{"serval cubic cubic", 50 * time.Millisecond, 0.15, 0},
		{"serval cubic", 5 * time.Millisecond, 0, 0},
		{"cubic serval", 5 * time.Millisecond, 0, 0},
		{"serval bbr", 5 * time.Millisecond, 0, 0},
		{"bbr serval", 5 * time.Millisecond, 0, 0},
		{"serval serval", 5 * time.Millisecond, 0, 0},
		{"serval cubic", 200 * time.Millisecond, 0, 0},
		{"cubic serval", 200 * time.Millisecond, 0, 0},
		{"serval bbr", 200 * time.Millisecond, 0, 0},
		{"bbr serval", 200 * time.Millisecond, 0, 0},
		{"serval serval", 200 * time.Millisecond, 0, 0},
	} {
		t.Run(fmt.Sprintf("%s/%v", strings.ReplaceAll(tc.kinds, " ", "+"), tc.queue), func(t *testing.T) {
			for seed := range seeds {
				w := &world{now: 1e9}
				link := w.newWire(seed, rate, rtt/2)
				link.queue = rate * tc.queue.Seconds()
				rs := bottleneck(w, link, rtt, seed*31+1, strings.Fields(tc.kinds)...)
				w.run(w.now.Add(8*time.Second), never)
				for _, r := range rs {
					r.from = r.got()
				}
				link.resetStats()
				w.run(w.now.Add(time.Duration(span)*time.Second), never)
				var shares []float64
				line, sum := "", 0.0
				for _, r := range rs {
					x := float64(r.got()-r.from) * 8 / float64(span) / 1e6
					shares = append(shares, x)
					sum += x
					line += fmt.Sprintf(" %s %4.1f", r.name, x)
				}
				t.Logf("queue %v seed %d:%s Mbit/s, jain %.3f, queue mean %v max %v, dropped %d of %d", tc.queue, seed, line, jain(shares), link.meanWait().Round(1e5), link.maxWait.Round(1e5), link.dropped, link.sent)
				for i, x := range shares {
					if x/sum < tc.least {
						t.Errorf("%s: number %d has only %.2f of the link", tc.kinds, i, x/sum)
					}
				}
				if j := jain(shares); j < tc.jain {
					t.Errorf("%s: Jain index %.3f", tc.kinds, j)
				}
			}
		})
	}
}

// TestCompetitors checks the models of other senders against what is known of
// the originals.
func TestCompetitors(t *testing.T) {
	long(t)
	const rate, rtt = 100e6 / 8, 20 * time.Millisecond
	for _, kinds := range []string{"cubic", "bbr", "cubic cubic", "bbr bbr", "cubic bbr", "bbr cubic"} {
		w := &world{now: 1e9}
		link := w.newWire(1, rate, rtt/2)
		rs := bottleneck(w, link, rtt, 1, strings.Fields(kinds)...)
		w.run(w.now.Add(8*time.Second), never)
		for _, r := range rs {
			r.from = r.got()
		}
		link.resetStats()
		w.run(w.now.Add(30*time.Second), never)
		line, sum := "", 0.0
		for _, r := range rs {
			x := float64(r.got()-r.from) * 8 / 30 / 1e6
			sum += x
			line += fmt.Sprintf(" %s %.1f", r.name, x)
		}
		t.Logf("%s Mbit/s, queue mean %v max %v", line, link.meanWait(), link.maxWait)
		if sum < 90 {
			t.Errorf("%s use only %.1f Mbit/s", kinds, sum)
		}
	}
}
