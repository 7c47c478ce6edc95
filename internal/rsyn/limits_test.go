package rsyn

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/flow"
)

// TestAmplification feeds a machine at random, by a peer that has the keys and
// lies, and keeps its own books of what went to addresses that proved nothing.
func TestAmplification(t *testing.T) {
	rounds := 20000
	if testing.Short() {
		rounds = 2000
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range rounds {
		m := New(10, 0)
		var got, sent [8]int
		var challenges [8][]Token
		proven := [8]bool{0: true}
		var now flow.Time
		verno, dice := uint64(0), uint64(0)
		fresh := func() (k Token) {
			dice++
			return Token{byte(dice), byte(dice >> 8), 1}
		}
		book := func(o Out[int]) {
			for _, p := range o.Packets[:o.N] {
				if p.Everywhere {
					continue
				}
				sent[p.To] += p.Size
				if p.HasChallenge {
					challenges[p.To] = append(challenges[p.To], p.Challenge)
				}
				if !proven[p.To] && sent[p.To] > amplification*got[p.To] {
					t.Fatalf("round %d: %d bytes went to %d, %d came from there", round, sent[p.To], p.To, got[p.To])
				}
			}
		}
		for range 60 {
			from := rng.IntN(8)
			in := In[int]{Now: now, At: m.Local(), From: from, Known: rng.IntN(4) == 0,
				Size: 57 + rng.IntN(200), Fresh: [2]Token{fresh(), fresh()}}
			heard := func() {
				got[from] += in.Size
				m.Heard(from, in.Size)
			}
			switch rng.IntN(7) {
			case 0:
				book(m.Move(now, 10+rng.IntN(3), fresh(), rng.IntN(2) == 0))
			case 1:
				heard()
				verno += rng.Uint64N(2)
				book(m.RSYN(in, verno, fresh()))
				book(m.Newest(in))
			case 2:
				heard()
				book(m.Challenge(in, fresh()))
				book(m.Newest(in))
			case 3:
				heard()
				if c := challenges[from]; len(c) > 0 && rng.IntN(3) == 0 {
					proven[from] = true
					book(m.Response(in, c[len(c)-1]))
				}
				book(m.Newest(in))
			default:
				if d := m.Deadline(); d != flow.Never {
					now = d
				} else {
					now = now.Add(time.Second)
				}
				book(m.Timeout(now))
			}
			if _, to, ok := m.Path(); ok && !proven[to] {
				t.Fatalf("round %d: data may go to %d, which proved nothing", round, to)
			}
		}
	}
}

// TestBackoff: an RSYN goes out until it is answered, ever more rarely, but
// often for the first two minutes if nothing else works.
func TestBackoff(t *testing.T) {
	for _, distress := range []bool{false, true} {
		m := New(1, 2)
		m.SetRTT(20 * time.Millisecond)
		m.SetDistress(distress)
		m.Move(0, 3, Token{1}, false)
		var now, longest flow.Time
		for now < flow.Time(hurryFor-time.Second) {
			if d := m.Deadline(); d-now > longest {
				longest = d - now
			}
			now = m.Deadline()
			if o := m.Timeout(now); o.N != 2 || !o.Packets[0].HasRSYN || !o.Packets[1].Everywhere {
				t.Fatalf("at %v: %+v", time.Duration(now), o)
			}
		}
		want := maxRTO
		if distress {
			want = hurriedRTO
		}
		if time.Duration(longest) != want {
			t.Errorf("distress %v: up to %v apart, want %v", distress, time.Duration(longest), want)
		}
		if distress != (m.Unanswered() > 300) {
			t.Errorf("distress %v: sent %d times", distress, m.Unanswered())
		}
	}
}

// TestCrowded: copies from many addresses must not keep the peer itself out.
func TestCrowded(t *testing.T) {
	m := New(1, 2)
	in := In[int]{At: 1, Size: 200}
	for from := 100; from < 110; from++ {
		in.From, in.Fresh = from, [2]Token{{byte(from)}}
		m.RSYN(in, 1, Token{1})
	}
	m.Timeout(m.Deadline())
	m.Timeout(m.Deadline())
	in.Now, in.From, in.Fresh = m.Deadline(), 50, [2]Token{{50}}
	m.RSYN(in, 1, Token{1})
	if o := m.Response(in, Token{50}); o.Event != RemoteMoved || m.Remote() != 50 {
		t.Errorf("event %v, remote %d", o.Event, m.Remote())
	}
}

// TestSoftMoveAmidCopies: as many questions as there may be leave room for all
// that a soft move has to say.
func TestSoftMoveAmidCopies(t *testing.T) {
	m := New(1, 2)
	for from := 100; from < 100+maxAsked; from++ {
		m.RSYN(In[int]{At: 1, From: from, Size: 200, Fresh: [2]Token{{byte(from)}}}, 1, Token{1})
	}
	o := m.Move(0, 3, Token{2}, true)
	if last := o.Packets[maxPackets-1]; o.N != maxPackets || !last.Everywhere || !last.HasRSYN {
		t.Errorf("%d packets, the last is %+v", o.N, last)
	}
}

// TestStrangersFallSilent: two who have both moved, and hear each other from
// where neither believes the other to be, do not go on and on about it.
func TestStrangersFallSilent(t *testing.T) {
	l, r := New(1, 2), New(2, 1)
	l.Move(0, 3, Token{1}, false)
	first := r.Move(0, 4, Token{2}, false)
	queue := []Packet[int]{first.Packets[0]}
	queue[0].To = 3
	n := 0
	for ; len(queue) > 0 && n < 100; n++ {
		k := queue[0]
		queue = queue[1:]
		m := &l
		if k.To == 4 {
			m = &r
		}
		in := In[int]{At: k.To, From: k.From, Size: k.Size, Fresh: [2]Token{{3, byte(n)}, {4, byte(n)}}}
		m.Heard(k.From, k.Size)
		var out []Out[int]
		if k.HasRSYN {
			out = append(out, m.RSYN(in, k.Verno, k.Nonce))
		}
		if k.HasChallenge {
			out = append(out, m.Challenge(in, k.Challenge))
		}
		if k.HasResponse {
			out = append(out, m.Response(in, k.Response))
		}
		for _, o := range append(out, m.Newest(in)) {
			for _, p := range o.Packets[:o.N] {
				if p.To == 3 || p.To == 4 {
					queue = append(queue, p)
				}
			}
		}
	}
	if n > 20 {
		t.Errorf("%d packets and more", n)
	}
}
