package scenario

import (
	"slices"
	"strings"
)

const (
	// together is how close events are, in milliseconds, that count as one.
	together = 100
	// window is how long a rate must hold, in milliseconds, to be back.
	window = 200
	// enough is the share of the rate it settles at that counts as back.
	enough = 0.9
)

// Effect is what an event did to a series, until the next event.
type Effect struct {
	Series string  `json:"series"`
	At     float64 `json:"at_ms"`
	What   string  `json:"what"`
	// Gap is the longest silence, in milliseconds.
	Gap float64 `json:"gap_ms"`
	// Back is the time in milliseconds until the rate was there, for 200 ms, that
	// it settled at: 90 % of the median of the second half. Negative if nothing
	// was received then.
	Back float64 `json:"back_ms"`
	// Before and After are the rates it had settled at, in Mbit/s.
	Before float64 `json:"before_mbit"`
	After  float64 `json:"after_mbit"`
}

// group is what the lab did at about one time.
type group struct {
	at   float64
	what string
}

// groups returns the start of the timeline and what the lab did after it.
func (t *Timeline) groups() []group {
	all := []group{{0, "start"}}
	for _, e := range t.Events {
		switch last := &all[len(all)-1]; {
		case e.Who != Lab:
		case e.At-last.at < together && len(all) > 1:
			last.what += ", " + e.What
		default:
			all = append(all, group{e.At, e.What})
		}
	}
	return all
}

// Measure enters the effects of what the lab did on all streams.
func (t *Timeline) Measure() {
	t.Effects = nil
	groups := t.groups()
	for _, s := range t.Series {
		if s.Kind != Stream {
			continue
		}
		before := 0.0
		for i, g := range groups {
			to := t.Length
			if i+1 < len(groups) {
				to = groups[i+1].at
			}
			e := t.effect(s, g.at, to)
			e.What, e.Before = g.what, before
			before = e.After
			if i > 0 {
				t.Effects = append(t.Effects, e)
			}
		}
	}
}

// effect measures one part of a series.
func (t *Timeline) effect(s Series, from, to float64) Effect {
	e := Effect{Series: s.Name, At: from, Back: -1}
	gapEnd := from
	for _, q := range t.silences(s) {
		// The last packet came before the event, but one long before it is
		// another event's matter.
		if from-q.From > together {
			q.From = from
		}
		if q.To > from && q.From < to && min(q.To, to)-q.From > e.Gap {
			e.Gap, gapEnd = min(q.To, to)-q.From, q.To
		}
	}
	first, last := int(from/t.Bin), min(int(to/t.Bin), len(s.Bytes))
	if first >= last {
		return e
	}
	settled := median(s.Bytes[(first+last)/2 : last])
	e.After = settled * 8 / 1e3 / t.Bin
	if settled == 0 {
		return e
	}
	if e.Gap <= 2*t.Bin {
		gapEnd = from // an ordinary pause
	}
	wide := max(int(window/t.Bin), 1)
	for i := max(first, int(max(gapEnd, from)/t.Bin)); i+wide <= last; i++ {
		if sum(s.Bytes[i:i+wide]) >= enough*settled*float64(wide) {
			e.Back = max(float64(i)*t.Bin-from, 0)
			break
		}
	}
	return e
}

// silences returns the series' silences, from its bins if it has no better.
func (t *Timeline) silences(s Series) []Silence {
	if s.Silences != nil {
		return s.Silences
	}
	var all []Silence
	for i := 0; i < len(s.Bytes); i++ {
		from := i
		for i < len(s.Bytes) && s.Bytes[i] == 0 {
			i++
		}
		if i > from {
			all = append(all, Silence{float64(from) * t.Bin, float64(i) * t.Bin})
		}
	}
	return all
}

// median is of the sums of five bins each, as packets come in bursts that single
// bins would show, per bin.
func median(bytes []uint64) float64 {
	const few = 5
	var sums []float64
	for part := range slices.Chunk(bytes, few) {
		sums = append(sums, sum(part)/float64(len(part)))
	}
	slices.Sort(sums)
	return sums[len(sums)/2]
}

func sum(bytes []uint64) (total float64) {
	for _, b := range bytes {
		total += float64(b)
	}
	return total
}

// Short returns what the effect is of, cut to n characters.
func (e Effect) Short(n int) string {
	if r := []rune(e.What); len(r) > n {
		return strings.TrimSpace(string(r[:n-1])) + "…"
	}
	return e.What
}
