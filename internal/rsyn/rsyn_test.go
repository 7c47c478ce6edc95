package rsyn

import (
	"fmt"
	"strings"
	"testing"

	"github.com/serval-net/serval/internal/flow"
)

// pair is two ends on a network that delivers at once, in order, and loses what
// goes to addresses in dead.
type pair struct {
	l, r  Machine[string]
	now   flow.Time
	dice  byte
	dead  map[string]bool
	nat   string // what the network shows instead of a1, if anything
	lines []string
	queue []Packet[string]
}

func newPair() *pair {
	return &pair{l: New("a1", "b1"), r: New("b1", "a1"), dead: map[string]bool{"m": true}}
}

func (p *pair) fresh() (t Token) {
	p.dice++
	return Token{p.dice}
}

func (p *pair) note(who string, o Out[string]) {
	for i, name := range []string{"Confirmed", "RemoteMoved", "Validated", "Refused"} {
		if o.Event>>i&1 != 0 {
			p.lines = append(p.lines, who+": "+name)
		}
	}
	for _, k := range o.Packets[:o.N] {
		if !k.Everywhere {
			p.queue = append(p.queue, k)
		} else if who == "a" && p.l.Remote() != p.r.Local() {
			k.To = p.r.Local()
			p.queue = append(p.queue, k)
		} else if who == "b" && p.r.Remote() != p.l.Local() {
			k.To = p.l.Local()
			p.queue = append(p.queue, k)
		}
	}
}

func frames(k Packet[string]) string {
	s := fmt.Sprintf("%s>%s", k.From, k.To)
	if k.HasRSYN {
		s += fmt.Sprintf(" RSYN %d", k.Verno)
	}
	if k.HasChallenge {
		s += " CHALLENGE"
	}
	if k.HasResponse {
		s += " RESPONSE"
	}
	return s
}

// settle delivers until nothing is under way.
func (p *pair) settle() {
	for len(p.queue) > 0 {
		k := p.queue[0]
		p.queue = p.queue[1:]
		if k.From == "a1" && p.nat != "" {
			k.From = p.nat
		}
		if p.dead[k.To] {
			p.lines = append(p.lines, frames(k)+" lost")
			continue
		}
		p.lines = append(p.lines, frames(k))
		p.deliver(k)
	}
}

func (p *pair) deliver(k Packet[string]) {
	if k.To == p.nat {
		k.To = "a1"
	}
	who, m := "a", &p.l
	if k.To[0] == 'b' {
		who, m = "b", &p.r
	}
	in := In[string]{Now: p.now, At: k.To, From: k.From, Known: k.From[0] != 'm' && k.From[0] != 'n',
		Size: k.Size, Fresh: [2]Token{p.fresh(), p.fresh()}}
	m.Heard(k.From, k.Size)
	if k.HasRSYN {
		p.note(who, m.RSYN(in, k.Verno, k.Nonce))
	}
	if k.HasChallenge {
		p.note(who, m.Challenge(in, k.Challenge))
	}
	if k.HasResponse {
		p.note(who, m.Response(in, k.Response))
	}
	p.note(who, m.Newest(in))
}

func (p *pair) path(who string, m *Machine[string]) {
	line := who + ": no data"
	if from, to, ok := m.Path(); ok {
		line = who + ": data " + from + ">" + to
	}
	p.lines = append(p.lines, line)
}

// data is what an application sends, or a copy of it.
func (p *pair) data(from, to string) {
	p.lines = append(p.lines, from+">"+to+" data")
	p.deliver(Packet[string]{From: from, To: to, Size: 1200})
	p.settle()
}

func (p *pair) timeout() {
	p.lines = append(p.lines, "time passes")
	p.now = min(p.l.Deadline(), p.r.Deadline())
	p.note("a", p.l.Timeout(p.now))
	p.note("b", p.r.Timeout(p.now))
	p.settle()
}

// TestTranscripts plays the ordinary flows.
func TestTranscripts(t *testing.T) {
	for _, c := range []struct {
		name string
		play func(p *pair)
		want string
	}{{
		name: "one end moves",
		play: func(p *pair) {
			p.note("a", p.l.Move(0, "a2", p.fresh(), false))
			p.settle()
		},
		want: `
a2>b1 RSYN 1
b1>a2 CHALLENGE RESPONSE
a: Confirmed
a2>b1 RESPONSE
b: RemoteMoved`,
	}, {
		name: "both ends move and lose their addresses",
		play: func(p *pair) {
			p.dead["a1"], p.dead["b1"] = true, true
			p.note("a", p.l.Move(0, "a2", p.fresh(), false))
			p.queue = p.queue[:1] // nobody knows of b2 yet
			p.settle()
			p.note("b", p.r.Move(0, "b2", p.fresh(), false))
			p.settle()
		},
		want: `
a2>b1 RSYN 1 lost
b2>a1 RSYN 1 lost
b2>a2 RSYN 1
a2>b2 RSYN 1 CHALLENGE RESPONSE
b: Confirmed
b2>a2 RSYN 1 CHALLENGE RESPONSE
a: Confirmed
b2>a2 RESPONSE
a: RemoteMoved
b2>a1 CHALLENGE lost
a2>b2 CHALLENGE RESPONSE
a2>b2 RESPONSE
b: RemoteMoved
a2>b1 CHALLENGE lost
b2>a2 RESPONSE
b2>a1 CHALLENGE lost`,
	}, {
		name: "a soft move: data stays until the answer",
		play: func(p *pair) {
			p.note("a", p.l.Move(0, "a2", p.fresh(), true))
			p.path("a", &p.l)
			p.settle()
			p.path("a", &p.l)
		},
		want: `
a: data a1>b1
a2>b1 RSYN 1
b1>a2 CHALLENGE RESPONSE
a: Confirmed
a2>b1 RESPONSE
b: RemoteMoved
a: data a2>b1`,
	}, {
		name: "the RSYN is lost",
		play: func(p *pair) {
			p.dead["b1"] = true
			p.note("a", p.l.Move(0, "a2", p.fresh(), false))
			p.settle()
			p.timeout()
			delete(p.dead, "b1")
			p.timeout()
		},
		want: `
a2>b1 RSYN 1 lost
time passes
a2>b1 RSYN 1 lost
time passes
a2>b1 RSYN 1
b1>a2 CHALLENGE RESPONSE
a: Confirmed
a2>b1 RESPONSE
b: RemoteMoved`,
	}, {
		name: "a NAT rebinds",
		play: func(p *pair) {
			p.nat, p.dead["a1"] = "n1", true
			p.data("n1", "b1")
			p.timeout()
			p.path("b", &p.r)
		},
		want: `
n1>b1 data
b1>n1 CHALLENGE
b1>a1 CHALLENGE lost
n1>b1 RESPONSE
time passes
b: RemoteMoved
b1>a1 CHALLENGE lost
b: data b1>n1`,
	}, {
		name: "a packet is copied",
		play: func(p *pair) {
			p.data("m", "b1")
			p.data("m", "b1")
			p.path("b", &p.r)
		},
		want: `
m>b1 data
b1>m CHALLENGE lost
b1>a1 CHALLENGE
a1>b1 RESPONSE
b: Refused
m>b1 data
b: data b1>a1`,
	}, {
		name: "a move is copied, and the original comes too late",
		play: func(p *pair) {
			o := p.l.Move(0, "a2", p.fresh(), false)
			o.Packets[0].From = "m"
			p.queue = append(p.queue, o.Packets[0])
			p.settle()
			p.path("b", &p.r)
			p.timeout()
			p.path("b", &p.r)
		},
		want: `
m>b1 RSYN 1
b1>m CHALLENGE RESPONSE lost
b: data b1>a1
time passes
a2>b1 RSYN 1
b1>m CHALLENGE lost
b1>a2 CHALLENGE RESPONSE
a: Confirmed
a2>b1 RESPONSE
b: RemoteMoved
b: data b1>a2`,
	}, {
		name: "a flow is joined",
		play: func(p *pair) {
			var o Out[string]
			p.r, o = NewJoined(In[string]{At: "b1", From: "a1", Size: 100, Fresh: [2]Token{p.fresh(), p.fresh()}})
			p.path("b", &p.r)
			p.note("b", o)
			p.settle()
			p.path("b", &p.r)
		},
		want: `
b: no data
b1>a1 CHALLENGE
a1>b1 RESPONSE
b: Validated
b: data b1>a1`,
	}} {
		t.Run(c.name, func(t *testing.T) {
			p := newPair()
			c.play(p)
			if got := strings.Join(p.lines, "\n"); got != strings.TrimSpace(c.want) {
				t.Errorf("got\n%s\nwant%s", got, c.want)
			}
		})
	}
}
