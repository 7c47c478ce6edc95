package rsyn

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"strings"

	"github.com/serval-net/serval/internal/flow"
)

// config bounds an exploration.
type config struct {
	name     string
	moves    [2]uint8 // of each end
	soft     bool     // moves may be soft as well
	back     bool     // moves may go back to the former address
	sends    [2]uint8 // packets of data sent at any time by each end
	loss     bool     // any packet may be lost
	hints    [2]bool  // Everywhere of each end knows the peer's address
	nat      bool     // a NAT before end 0 may rebind once
	again    bool     // a quiet flow is announced afresh by its ends, which know:
	knowing  [2]bool  // as hints
	join     bool     // the flow is new, end 1 has not proven end 0's address
	inFlight int      // packets under way in each direction, besides the attacker's

	copies uint8   // packets that the attacker sends on from its address
	fronts [2]bool // for packets to which end it does that
	spoofs bool    // what it relays comes from the sender's own address
	timely bool    // rounds last longer than packets; then nobody leaves the right address
	bug    bug
	limit  int // states, 0 for no limit
}

// step is one event: what happens, and to which message or end.
type step struct{ kind, i, arg uint8 }

const (
	stepDeliver = iota
	stepLose
	stepTimeout
	stepMove
	stepSoftMove
	stepData
	stepGiveUp
	stepForget
	stepNAT
	stepCopy
	stepRelay
)

// steps appends all that can happen in w.
func (w *world) steps(c *config, s []step) []step {
	genuine := 0
	for i := range w.msg[:w.n] {
		k := &w.msg[i]
		if k.to == mm {
			s = append(s, step{stepRelay, uint8(i), 0})
			continue
		}
		s = append(s, step{stepDeliver, uint8(i), 0})
		if k.from != mm {
			genuine++
		}
		if c.loss && k.from != mm {
			s = append(s, step{stepLose, uint8(i), 0})
		}
		if k.from != mm && w.copies < c.copies && c.fronts[k.dir] {
			s = append(s, step{stepCopy, uint8(i), 0})
		}
	}
	for i := range w.end {
		m, e := &w.end[i], uint8(i)
		if m.due != flow.Never && (!c.timely || genuine == 0) {
			s = append(s, step{stepTimeout, e, 0})
		}
		for _, q := range m.asked {
			if q.tries > 0 && q.why != moved {
				s = append(s, step{stepGiveUp, e, 0})
				break
			}
		}
		if m.ignoreUntil > 0 {
			s = append(s, step{stepForget, e, 0})
		}
		if w.sends[i] < c.sends[i] {
			s = append(s, step{stepData, e, 0})
		}
		if w.moves[i] < c.moves[i] {
			first := a1
			if i == 1 {
				first = b1
			}
			to := first + 1 + addr(w.moves[i])
			s = w.moveSteps(c, s, e, to)
			if c.back && w.moves[i] > 0 && m.local != first {
				s = w.moveSteps(c, s, e, first)
			}
		}
	}
	if c.nat && !w.nat && w.end[0].local == a1 {
		s = append(s, step{stepNAT, 0, 0})
	}
	return s
}

func (w *world) moveSteps(c *config, s []step, e uint8, to addr) []step {
	s = append(s, step{stepMove, e, uint8(to)})
	if c.soft && w.dead>>w.seen(w.end[e].data)&1 == 0 {
		s = append(s, step{stepSoftMove, e, uint8(to)})
	}
	return s
}

// do makes s happen.
func (w *world) do(c *config, s step) {
	i := int(s.i)
	switch s.kind {
	case stepDeliver:
		w.receive(c, w.msg[i])
	case stepLose:
		w.drop(i)
	case stepTimeout:
		w.timeout(c, i)
	case stepMove, stepSoftMove:
		w.move(c, i, addr(s.arg), s.kind == stepSoftMove)
	case stepData:
		w.sends[i]++
		w.data(c, i)
	case stepGiveUp:
		w.giveUp(i)
	case stepForget:
		w.end[i].ignoreUntil = 0
	case stepNAT:
		w.nat = true
		w.dead &^= 1 << n1
		w.bury(a1)
	case stepCopy, stepRelay:
		k := w.msg[i]
		if s.kind == stepRelay {
			w.drop(i)
		} else {
			w.copies++
		}
		if s.kind == stepCopy || !c.spoofs {
			k.from = mm
		}
		k.to = w.peerOf(1 - int(k.dir))
		if w.n < maxInFlight && w.dead>>k.to&1 == 0 {
			w.msg[w.n] = k
			w.n++
		}
	}
	w.normalise()
}

func (w *world) describe(s step) string {
	i := int(s.i)
	end := string(rune('A' + i))
	switch s.kind {
	case stepDeliver:
		return "arrives: " + w.msg[i].String()
	case stepLose:
		return "lost: " + w.msg[i].String()
	case stepTimeout:
		return "timeout of " + end
	case stepMove:
		return end + " moves to " + addr(s.arg).String()
	case stepSoftMove:
		return end + " moves softly to " + addr(s.arg).String()
	case stepData:
		return end + " sends data"
	case stepGiveUp:
		return end + " gives up asking"
	case stepForget:
		return end + " no longer ignores " + w.end[i].ignore.String()
	case stepNAT:
		return "the NAT makes n1 of a1"
	case stepCopy:
		return "the attacker copies " + w.msg[i].String()
	default:
		return "the attacker relays " + w.msg[i].String()
	}
}

// converged reports whether both ends are where the other thinks and all data
// has arrived.
func (w *world) converged() bool {
	for i := range w.end {
		m := &w.end[i]
		if m.moving || m.data != m.local || !m.proven || m.remote != w.peerOf(i) || !w.got[i] || !w.acked[i] {
			return false
		}
	}
	return true
}

// fair lets time go by without losses, moves and attacks, and reports whether
// the ends converge.
func (w world) fair(c *config) bool {
	calm := *c
	calm.inFlight = maxInFlight
	for round := range 12 {
		if c.again && round == 6 {
			calm.hints = c.knowing
			for i := range w.end {
				w.move(&calm, i, w.end[i].local, false)
				w.normalise()
			}
		}
		w.drain(&calm)
		if w.converged() {
			return true
		}
		for i := range w.end {
			if w.end[i].due != flow.Never {
				w.timeout(&calm, i)
				w.normalise()
				w.drain(&calm)
			}
			w.data(&calm, i)
			w.normalise()
			w.drain(&calm)
		}
		for i := range w.end {
			w.giveUp(i)
			w.end[i].ignoreUntil = 0
		}
		w.normalise()
	}
	return false
}

func (w *world) drain(c *config) {
	for n := 0; !w.silence() && n < 1000; n++ {
		w.do(c, step{stepDeliver, 0, 0})
	}
}

// silence drops what only the attacker has, which may stay under way for ever,
// and reports whether nothing is left.
func (w *world) silence() bool {
	for i := int(w.n) - 1; i >= 0; i-- {
		if w.msg[i].to == mm || w.msg[i].from == mm {
			w.drop(i)
		}
	}
	w.normalise()
	return w.n == 0
}

// hash tells worlds apart.
func (w *world) hash(seed maphash.Seed) uint64 {
	var a [512]byte
	b := a[:0]
	for i := range w.end {
		m := &w.end[i]
		b = append(b, byte(m.local), byte(m.data), byte(m.verno), m.nonce[0], bit(m.moving),
			byte(m.remote), bit(m.proven)|bit(m.settled)<<1, byte(m.peerVerno), byte(m.ignore),
			byte(m.ignoreUntil), bit(m.due != flow.Never))
		for _, q := range m.asked {
			b = append(b, byte(q.addr), byte(q.why), bit(q.answered)|q.tries<<1, q.challenge[0])
		}
		b = append(b, w.moves[i], w.sends[i], bit(w.got[i])|bit(w.acked[i])<<1, w.largest[i], w.next[i])
		b = binary.LittleEndian.AppendUint16(b, w.proved[i])
	}
	b = append(b, w.copies, bit(w.nat), w.n)
	b = binary.LittleEndian.AppendUint16(b, w.dead)
	for i := range w.msg[:w.n] {
		k := &w.msg[i]
		b = append(b, byte(k.from), byte(k.to), k.dir, k.pn,
			bit(k.rsyn)|bit(k.chal)<<1|bit(k.resp)<<2|bit(k.data)<<3|bit(k.token)<<4|bit(k.ack)<<5,
			k.verno, k.nonce, k.challenge, k.response, byte(k.askedAt), byte(k.sentTo))
	}
	return maphash.Bytes(seed, b)
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// result is what an exploration has found.
type result struct {
	states, transitions, depth int
	complete                   bool
	broken                     string // empty if nothing was
	trace                      []string
}

type node struct {
	parent int32
	step   step
}

// explore visits all worlds within the bounds, the nearest first.
func explore(c *config) (r result) {
	seed := maphash.MakeSeed()
	root := newWorld(c)
	nodes := []node{{parent: -1}}
	visited := map[uint64]struct{}{root.hash(seed): {}}
	converges := map[uint64]bool{}
	type open struct {
		w  world
		id int32
	}
	level, next := []open{{root, 0}}, []open(nil)
	var steps []step
	fail := func(id int32, why string) result {
		r.states, r.broken, r.trace = len(nodes), why, trace(c, nodes, id)
		return r
	}
	for len(level) > 0 {
		for li := range level {
			w, id := &level[li].w, level[li].id
			if w.broken != "" {
				return fail(id, w.broken)
			}
			// A world with packets under way leads to one without by delivering
			// them, which is visited as well.
			if calm := *w; calm.silence() {
				h := calm.hash(seed)
				if _, ok := converges[h]; !ok {
					converges[h] = calm.fair(c)
				}
				if !converges[h] {
					return fail(id, "does not converge")
				}
			}
			if c.limit > 0 && len(nodes) >= c.limit {
				r.states = len(nodes)
				return r
			}
			steps = w.steps(c, steps[:0])
			for _, s := range steps {
				v := *w
				v.do(c, s)
				r.transitions++
				h := v.hash(seed)
				if _, ok := visited[h]; ok && v.broken == "" {
					continue
				}
				visited[h] = struct{}{}
				nodes = append(nodes, node{id, s})
				next = append(next, open{v, int32(len(nodes) - 1)})
			}
		}
		level, next = next, level[:0]
		r.depth++
	}
	r.states, r.complete = len(nodes), true
	return r
}

// trace replays the way to a world.
func trace(c *config, nodes []node, id int32) []string {
	var way []step
	for ; nodes[id].parent >= 0; id = nodes[id].parent {
		way = append(way, nodes[id].step)
	}
	w := newWorld(c)
	var s []string
	for i := len(way) - 1; i >= 0; i-- {
		line := w.describe(way[i])
		w.do(c, way[i])
		s = append(s, fmt.Sprintf("%-44s %s", line, w.String()))
	}
	return s
}

func (r *result) String() string {
	return fmt.Sprintf("%s after %d states:\n\t%s", r.broken, r.states, strings.Join(r.trace, "\n\t"))
}
