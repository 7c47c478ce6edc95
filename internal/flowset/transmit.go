package flowset

import (
	"math/bits"

	"github.com/serval-net/serval/internal/flow"
	"github.com/serval-net/serval/pkg/sal"
)

const (
	dataOverhead  = sal.DataHeaderLen + tagLen
	shortOverhead = sal.ShortHeaderLen + tagLen
	// largePacket is where one packet is a train of its own: better end it with
	// the chunk, sealed in place, than copy to fill it.
	largePacket = 16 << 10
	// maxFrames is how much of a packet acknowledgements of other flows may take.
	maxFrames = 512
)

// Transmit writes the next train of packets for one flow into buf: n bytes, in
// packets of seg bytes of which the last may be shorter. It returns n = 0 when
// nothing may leave now; Deadline says when to try again.
func (c *Conn) Transmit(now flow.Time, buf []byte) (n, seg int, f *flow.Flow) {
	if c.err != nil {
		return c.transmitReset(now, buf)
	}
	best := c.best()
	if best == nil {
		return 0, 0, nil
	}
	if c.ping {
		c.ping, best.ping = false, true
	}
	if len(c.paths) > 1 {
		c.relieve(now)
		if p := c.probe(); p != nil {
			n = c.transmitControl(now, p, best, buf)
			return n, n, p.f
		}
	}
	c.doubted(now)
	if !c.ready() && !c.rescue(now) {
		for _, p := range c.paths {
			p.f.AppLimited()
		}
	} else if p := c.schedule(now); p != nil {
		if n, seg = c.transmitData(now, p, best, buf); n > 0 {
			return n, seg, p.f
		}
	}
	if p := c.advertPath(); p != nil {
		n = c.transmitAdvert(now, p, buf)
		return n, n, p.f
	}
	for _, p := range c.paths {
		if !p.state.open() {
			continue
		}
		if n = c.transmitControl(now, p, best, buf); n > 0 {
			return n, n, p.f
		}
	}
	return 0, 0, nil
}

// transmitReset tells the peer, on every flow that may reach it, that the
// connection has ended.
func (c *Conn) transmitReset(now flow.Time, buf []byte) (n, seg int, f *flow.Flow) {
	if c.resetOut == 0 {
		return 0, 0, nil
	}
	i := bits.TrailingZeros16(c.resetOut)
	c.resetOut &^= 1 << i
	f = c.paths[i].f
	out := c.seal(f, sal.TypeRST, buf, sal.AppendReset(c.frames[:0], c.resetCode, c.resetWhy))
	f.Sent(now, flow.Record{Size: uint16(len(out))})
	return len(out), len(out), f
}

// transmitData fills buf for p, which has the budget.
func (c *Conn) transmitData(now flow.Time, p, best *path, buf []byte) (n, seg int) {
	c.updateKey(p)
	if size := c.wantsMTU(now, p.f, buf); size > 0 {
		return size, size
	}
	if c.dgrams.n > 0 {
		n = c.transmitDatagrams(now, p, best, buf)
		return n, n
	}
	return c.transmitStream(now, p, best, buf)
}

// updateKey moves to the next key, if it is time, once the peer has seen the
// present one. A side that only acknowledges gets no acknowledgements itself:
// it asks for one.
func (c *Conn) updateKey(p *path) {
	f := p.f
	if !f.Sealer.NeedsUpdate(f.NextPN()) {
		return
	}
	if f.Sealer.MayUpdate(f.LargestAcked()) {
		f.Sealer.Update()
	} else if f.InFlight() == 0 {
		p.ping = true
	}
}

// piggyback collects the frames that ride on the next packet of p. What is not
// about a flow travels on the best one, acknowledgements of flows that do not
// work included.
func (c *Conn) piggyback(now flow.Time, p, best *path) (b []byte, kind flow.Kind) {
	b = c.frames[:0]
	f := p.f
	if f.OwesAck() {
		b = f.AppendAck(b, now)
	}
	if p == best {
		b, kind = c.shared(now, p, b)
	}
	if w, ok := f.AckWish(); ok {
		b = sal.AppendAckEvery(b, w)
		kind |= flow.Every
	}
	if p.ping {
		p.ping = false
		b = sal.AppendPing(b)
		kind |= flow.Ping
	}
	c.frames = b
	return b, kind
}

// shared appends what travels on the best flow p.
func (c *Conn) shared(now flow.Time, p *path, b []byte) (_ []byte, kind flow.Kind) {
	for _, q := range c.paths {
		if q.state != Active && q != p && q.f.OwesAck() && len(b) < maxFrames {
			b = q.f.AppendAck(b, now)
		}
	}
	if c.rcv.window.dirty {
		c.rcv.window.dirty = false
		b = sal.AppendWindow(b, c.rcv.window.edge)
		kind |= flow.Window
	}
	if c.answers {
		c.answers = false
		b = sal.AppendResponse(b, c.answer)
		kind |= flow.Ping
	}
	if c.hello {
		c.hello = false
		b = append(b, byte(sal.FramePad))
	}
	return b, kind
}

// transmitControl sends frames that cannot wait for data to ride on.
func (c *Conn) transmitControl(now flow.Time, p, best *path, buf []byte) int {
	f := p.f
	c.updateKey(p)
	if !p.ping && !(f.WantsAck(now) && (p.state == Active || p == best)) && (p != best || !c.sharedDue(now)) {
		return 0
	}
	frames, kind := c.piggyback(now, p, best)
	if len(frames) == 0 {
		return 0
	}
	if kind != 0 {
		if f.InFlight() == 0 {
			f.AppLimited() // a lone packet says nothing of the path's rate
		}
		f.StartBurst(now)
	}
	out := c.seal(f, sal.TypeAck, buf, frames)
	f.Sent(now, flow.Record{Kind: kind, Size: uint16(len(out))})
	return len(out)
}

// sharedDue reports whether the best flow must leave for anything that is not
// its own.
func (c *Conn) sharedDue(now flow.Time) bool {
	if c.rcv.window.dirty || c.answers || c.hello {
		return true
	}
	for _, q := range c.paths {
		if q.state != Active && q.f.WantsAck(now) {
			return true
		}
	}
	return false
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
func (c *Conn) transmitStream(now flow.Time, p, best *path, buf []byte) (n, seg int) {
	f := p.f
	limit := min(len(buf), f.Budget(now))
	f.StartBurst(now)
	frames, kind := c.piggyback(now, p, best)
	seg = min(f.MTU(), len(buf))
	for n == 0 || n+seg <= limit {
		room := seg - dataOverhead
		if len(frames) > 0 {
			room -= 2 + len(frames)
		}
		off, size, repair := c.pick(p, room)
		if !repair && seg >= largePacket {
			size = c.snd.toChunkEnd(off, size)
		}
		fin := c.finDue(p) && off+uint64(size) == c.snd.end && (!repair || c.snd.next == c.snd.end)
		if size == 0 && !fin {
			break
		}
		r := flow.Record{Off: off, N: uint16(size), Kind: kind}
		out := c.sealData(f, buf[n:], off, size, fin, frames)
		c.took(p, off, size, repair)
		if size > 0 {
			r.Kind |= flow.Data
		}
		if fin {
			r.Kind |= flow.FIN
			c.snd.finSent, p.finSent = true, true
		}
		r.Size = uint16(out)
		f.Sent(now, r)
		n += out
		frames, kind = nil, 0
		if out < seg {
			break
		}
	}
	if n == 0 && len(frames) > 0 { // nothing for them to ride on after all
		n = len(c.seal(f, sal.TypeAck, buf, frames))
		f.Sent(now, flow.Record{Kind: kind, Size: uint16(n)})
	}
	if c.snd.una < c.snd.next {
		c.out.expect(now)
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

// transmitDatagrams sends one datagram; in redundant mode the next call sends it
// on another flow, too.
func (c *Conn) transmitDatagrams(now flow.Time, p, best *path, buf []byte) (n int) {
	f := p.f
	f.StartBurst(now)
	frames, kind := c.piggyback(now, p, best)
	d := c.dgrams.peek()
	size := min(len(buf), f.MTU())
	if len(frames) > 0 && len(d)+len(frames)+2+shortOverhead > size {
		n = len(c.seal(f, sal.TypeAck, buf, frames))
		f.Sent(now, flow.Record{Kind: kind | flow.Ping, Size: uint16(n)})
		return n
	}
	c.dgrams.sent(p, c.mirrors() && c.others(p))
	if len(d)+shortOverhead > size { // the path shrank since it was queued
		d = nil
		c.dgrams.dropped++
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
	return n
}
