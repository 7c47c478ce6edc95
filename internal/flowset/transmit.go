package flowset

import (
	"github.com/serval-net/serval/internal/flow"
	"github.com/serval-net/serval/pkg/sal"
)

const (
	dataOverhead  = sal.DataHeaderLen + tagLen
	shortOverhead = sal.ShortHeaderLen + tagLen
	// largePacket is where one packet is a train of its own: better end it with
	// the chunk, sealed in place, than copy to fill it.
	largePacket = 16 << 10
)

// Transmit writes the next train of packets for one flow into buf: n bytes, in
// packets of seg bytes of which the last may be shorter. It returns n = 0 when
// nothing may leave now; Deadline says when to try again.
func (c *Conn) Transmit(now flow.Time, buf []byte) (n, seg int, f *flow.Flow) {
	if len(c.flows) == 0 {
		return 0, 0, nil
	}
	f = c.schedule()
	if f.Sealer.NeedsUpdate(f.NextPN()) {
		c.updateKey(f)
	}
	if c.err != nil {
		if !c.resetOut {
			return 0, 0, nil
		}
		c.resetOut = false
		out := c.seal(f, sal.TypeRST, buf, sal.AppendReset(c.frames[:0], c.resetCode, c.resetWhy))
		f.Sent(now, flow.Record{Size: uint16(len(out))})
		return len(out), len(out), f
	}
	if c.ready() {
		if budget := f.Budget(now); budget > 0 {
			if size := c.wantsMTU(now, f, buf); size > 0 {
				return size, size, f
			}
			if c.dgrams.n > 0 {
				return c.transmitDatagrams(now, f, buf, budget)
			}
			n, seg = c.transmitStream(now, f, buf, budget)
			return n, seg, f
		}
	} else {
		f.AppLimited()
	}
	if n = c.transmitControl(now, f, buf); n > 0 {
		return n, n, f
	}
	return 0, 0, nil
}

// updateKey moves to the next key once the peer has seen the present one. A side
// that only acknowledges gets no acknowledgements itself: it asks for one.
func (c *Conn) updateKey(f *flow.Flow) {
	if f.Sealer.MayUpdate(f.LargestAcked()) {
		f.Sealer.Update()
	} else if f.InFlight() == 0 {
		c.ping = true
	}
}

// schedule chooses the flow to send on. With one flow there is no choice.
func (c *Conn) schedule() *flow.Flow { return c.flows[0] }

// piggyback collects the frames that ride on the next packet.
func (c *Conn) piggyback(now flow.Time, f *flow.Flow) (b []byte, kind flow.Kind) {
	b = c.frames[:0]
	if f.OwesAck() {
		b = f.AppendAck(b, now)
	}
	if c.rcv.window.dirty {
		c.rcv.window.dirty = false
		b = sal.AppendWindow(b, c.rcv.window.edge)
		kind |= flow.Window
	}
	if w, ok := f.AckWish(); ok {
		b = sal.AppendAckEvery(b, w)
		kind |= flow.Every
	}
	if c.answers {
		c.answers = false
		b = sal.AppendResponse(b, c.answer)
		kind |= flow.Ping
	}
	if c.ping {
		c.ping = false
		b = sal.AppendPing(b)
		kind |= flow.Ping
	}
	if c.hello {
		c.hello = false
		b = append(b, byte(sal.FramePad))
	}
	c.frames = b
	return b, kind
}

// transmitControl sends frames that cannot wait for data to ride on.
func (c *Conn) transmitControl(now flow.Time, f *flow.Flow, buf []byte) int {
	if !f.WantsAck(now) && !c.rcv.window.dirty && !c.answers && !c.ping && !c.hello {
		return 0
	}
	frames, kind := c.piggyback(now, f)
	if len(frames) == 0 {
		return 0
	}
	if kind != 0 {
		f.StartBurst(now)
	}
	out := c.seal(f, sal.TypeAck, buf, frames)
	f.Sent(now, flow.Record{Kind: kind, Size: uint16(len(out))})
	return len(out)
}

// seal builds a packet of nothing but frames in buf.
func (c *Conn) seal(f *flow.Flow, t sal.Type, buf, frames []byte) []byte {
	pn := f.NextPN()
	hdr := sal.AppendShort(buf[:0], t, false, f.Sealer.Phase(), f.Remote, pn)
	return f.Sealer.Seal(hdr, hdr, frames, pn)
}

// wantsMTU builds a path MTU probe in buf if one is due: only with bulk
// queued, and only as large as buf.
func (c *Conn) wantsMTU(now flow.Time, f *flow.Flow, buf []byte) int {
	if c.snd.end-c.snd.next < uint64(4*f.MTU()) {
		return 0
	}
	size := f.MTUProbe(now)
	if size == 0 || size > len(buf) {
		return 0
	}
	frames := append(c.frames[:0], make([]byte, size-shortOverhead)...) // PAD is zero
	frames = append(sal.AppendPing(frames[:0]), frames[1:]...)
	f.StartBurst(now)
	out := c.seal(f, sal.TypeProbe, buf, frames)
	f.Sent(now, flow.Record{Kind: flow.Probe, Size: uint16(len(out))})
	if cap(frames) <= 4096 {
		c.frames = frames[:0]
	}
	return len(out)
}

// transmitStream fills buf with repairs and new bytes.
func (c *Conn) transmitStream(now flow.Time, f *flow.Flow, buf []byte, budget int) (n, seg int) {
	f.StartBurst(now)
	frames, kind := c.piggyback(now, f)
	seg = min(f.MTU(), len(buf))
	limit := min(len(buf), budget)
	for n == 0 || n+seg <= limit {
		room := seg - dataOverhead
		if len(frames) > 0 {
			room -= 2 + len(frames)
		}
		off, size, repair := c.snd.pick(room)
		if !repair && seg >= largePacket {
			size = c.snd.toChunkEnd(off, size)
		}
		fin := c.snd.fin && !c.snd.finSent && off+uint64(size) == c.snd.end && (!repair || c.snd.next == c.snd.end)
		if size == 0 && !fin {
			break
		}
		r := flow.Record{Off: off, N: uint16(size), Kind: kind}
		out := c.sealData(f, buf[n:], off, size, fin, frames)
		c.snd.took(off, size, repair)
		if size > 0 {
			r.Kind |= flow.Data
		}
		if fin {
			r.Kind |= flow.FIN
			c.snd.finSent = true
		}
		r.Size = uint16(out)
		f.Sent(now, r)
		n += out
		frames, kind = nil, 0
		if out < seg {
			break
		}
	}
	if n == 0 {
		return 0, 0
	}
	return n, min(n, seg)
}

// sealData builds one DATA or FIN packet at the start of out and returns its
// length. Bytes are sealed straight from where the application's write left
// them.
func (c *Conn) sealData(f *flow.Flow, out []byte, off uint64, size int, fin bool, frames []byte) int {
	t := sal.TypeData
	if fin {
		t = sal.TypeFIN
	}
	pn := f.NextPN()
	hdr := sal.AppendData(out[:0], t, len(frames) > 0, f.Sealer.Phase(), f.Remote, pn, off)
	plain := out[len(hdr):len(hdr)]
	if len(frames) > 0 {
		plain = append(plain, byte(len(frames)>>8), byte(len(frames)))
		plain = append(plain, frames...)
		at := len(plain)
		plain = plain[:at+size]
		copy(plain[at:], c.snd.bytes(off, size, plain[at:]))
	} else {
		plain = c.snd.bytes(off, size, out[len(hdr):len(hdr)+size])
	}
	return len(f.Sealer.Seal(hdr, hdr, plain, pn))
}

// toChunkEnd shortens a run that would cross into the next chunk.
func (s *sender) toChunkEnd(off uint64, n int) int {
	if n == 0 {
		return 0
	}
	if rest := int(s.chunks[s.find(off)].end() - off); rest >= largePacket {
		return min(n, rest)
	}
	return n
}

func (c *Conn) transmitDatagrams(now flow.Time, f *flow.Flow, buf []byte, budget int) (n, seg int, _ *flow.Flow) {
	f.StartBurst(now)
	frames, kind := c.piggyback(now, f)
	d := c.dgrams.peek()
	c.dgrams.pop()
	if len(d)+shortOverhead > min(len(buf), f.MTU()) { // the path shrank since it was queued
		d = nil
		c.dgrams.dropped++
	}
	if len(frames) > 0 && len(d)+len(frames)+2+shortOverhead > min(len(buf), f.MTU()) {
		n = len(c.seal(f, sal.TypeAck, buf, frames))
		f.Sent(now, flow.Record{Kind: kind | flow.Ping, Size: uint16(n)})
		c.dgrams.unpop(d)
		return n, n, f
	}
	pn := f.NextPN()
	hdr := sal.AppendShort(buf[:0], sal.TypeDgram, len(frames) > 0, f.Sealer.Phase(), f.Remote, pn)
	plain := d
	if len(frames) > 0 {
		plain = append(buf[len(hdr):len(hdr)], byte(len(frames)>>8), byte(len(frames)))
		plain = append(append(plain, frames...), d...)
	}
	n = len(f.Sealer.Seal(hdr, hdr, plain, pn))
	f.Sent(now, flow.Record{Kind: kind | flow.Dgram, Size: uint16(n)})
	return n, n, f
}
