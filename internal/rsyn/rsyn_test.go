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
	lines []string
	queue []Packet[string]
}

func newPair() *pair {
	return &pair{l: New("a1", "b1"), r: New("b1", "a1"), dead: map[string]bool{}}
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
		if p.dead[k.To] {
			p.lines = append(p.lines, frames(k)+" lost")
			continue
		}
		p.lines = append(p.lines, frames(k))
		p.deliver(k)
	}
}

func (p *pair) deliver(k Packet[string]) {
	who, m := "a", &p.l
	if k.To[0] == 'b' {
		who, m = "b", &p.r
	}
	in := In[string]{Now: p.now, At: k.To, From: k.From, Known: k.From[0] != 'm',
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
a2>b2 RSYN 1 CHALLENGE RESPONSE
a2>b2 RESPONSE
b: RemoteMoved
a2>b1 CHALLENGE lost
b2>a2 CHALLENGE RESPONSE
b2>a2 RESPONSE
b2>a1 CHALLENGE lost
a2>b2 RESPONSE`,
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
