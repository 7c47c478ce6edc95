package flowset

import (
	"errors"
	"sync"

	"github.com/serval-net/serval/internal/flow"
	"github.com/serval-net/serval/internal/seal"
	"github.com/serval-net/serval/pkg/sal"
)

const tagLen = 16

// Receive takes one datagram that arrived for f. Bytes that are in order go to
// the sink, decrypted straight into the room it offers. A packet that is not
// authentic returns ErrAuth and changes nothing; a peer that breaks the
// protocol ends the connection (Err).
func (c *Conn) Receive(now flow.Time, f *flow.Flow, pkt []byte, to Sink) error {
	h, err := sal.ParseShort(pkt)
	if err != nil {
		return err
	}
	if len(pkt) < h.Len+tagLen {
		return ErrAuth
	}
	pn := sal.DecodePN(h.PN, f.LargestReceived())
	if f.Received(pn) {
		return ErrDuplicate
	}
	if h.Type == sal.TypeData && !h.Frames && c.err == nil {
		off := sal.DecodeOffset(h.Offset, c.rcv.next)
		n := len(pkt) - h.Len - tagLen
		if off == c.rcv.next && c.rcv.fits(off, n, false) == nil {
			return c.receiveInOrder(now, f, pkt, h, pn, n, to)
		}
	}
	buf := room(len(pkt))
	plain, err := f.Opener.Open(*buf, pkt[:h.Len], pkt[h.Len:], pn, h.Phase)
	if err != nil {
		free(buf)
		return c.forged(err)
	}
	if c.err != nil {
		free(buf)
		c.remind(now, &h)
		return nil
	}
	kept, err := c.receivePlain(now, f, &h, pn, len(pkt), plain, buf, to)
	if err != nil {
		c.Reset(ResetProtocol, err.Error())
	}
	if !kept {
		free(buf)
	}
	return nil
}

// forged takes note of a packet that does not open. So many that guessing might
// succeed end the connection.
func (c *Conn) forged(err error) error {
	if errors.Is(err, seal.ErrForgeries) {
		c.Fail(err)
	}
	return ErrAuth
}

// receiveInOrder is the fast path: the next bytes of the stream and nothing
// else.
func (c *Conn) receiveInOrder(now flow.Time, f *flow.Flow, pkt []byte, h sal.Short, pn uint64, n int, to Sink) error {
	room := to.Reserve(n)
	if _, err := f.Opener.Open(room[:0], pkt[:h.Len], pkt[h.Len:], pn, h.Phase); err != nil {
		return c.forged(err)
	}
	to.Commit(n)
	before, rtt := c.rcv.next, c.longestRTT()
	c.rcv.next += uint64(n)
	c.rcv.window.arrive(now, n, c.rcv.next, c.rcv.pieces.held, rtt)
	c.heard(now, f, pn, len(pkt), n, true)
	if c.rcv.pieces.len() > 0 || c.rcv.fin {
		c.rcv.settle(to)
	}
	c.onStream(now, rtt, before)
	return nil
}

// receivePlain takes a packet of size bytes whose plaintext is in buf. It reports
// whether it kept that.
func (c *Conn) receivePlain(now flow.Time, f *flow.Flow, h *sal.Short, pn uint64, size int, plain []byte, buf *[]byte, to Sink) (kept bool, err error) {
	var frames []byte
	stream := h.Type == sal.TypeData || h.Type == sal.TypeFIN
	eliciting := stream || h.Type == sal.TypeDgram
	switch {
	case !eliciting:
		frames, plain = plain, nil
	case h.Frames:
		if frames, plain, err = sal.SplitFrames(plain); err != nil {
			return false, err
		}
	}
	if stream {
		off := sal.DecodeOffset(h.Offset, c.rcv.next)
		var ok bool
		before, rtt := c.rcv.next, c.longestRTT()
		if ok, kept, err = c.receiveStream(off, plain, buf, h.Type == sal.TypeFIN, to); !ok {
			return false, err // not acknowledged: it was not taken
		}
		c.onStream(now, rtt, before)
		c.rcv.window.arrive(now, len(plain), c.rcv.next, c.rcv.pieces.held, rtt)
	}
	if h.Type == sal.TypeDgram && c.datagram {
		to.Reserve(0)
		if d, ok := to.(DatagramSink); ok {
			d.Datagram(plain)
			kept = true
		}
	}
	c.pinged = false
	el, err := c.receiveFrames(now, f, frames)
	if err != nil {
		return kept, err
	}
	c.heard(now, f, pn, size, len(plain), eliciting || el)
	if h.Type == sal.TypeProbe || h.Type == sal.TypeFIN || c.pinged {
		f.AckNow() // no data will follow for the answer to ride on
	}
	return kept, nil
}

// heard records an authentic packet with n bytes of payload that arrived on f.
func (c *Conn) heard(now flow.Time, f *flow.Flow, pn uint64, size, n int, eliciting bool) {
	newest := pn > f.LargestReceived()
	f.OnReceived(now, pn, size, eliciting)
	p := c.paths[f.Index]
	if n > 0 {
		p.bulk += n
		p.quiet = false
	}
	if eliciting && f.Timeouts() > 0 {
		p.ping = true // rides on the answer: does our direction work, too?
	}
	c.alive(now, p, false)
	if newest && c.control != nil {
		c.control.Newest(now, f)
	}
}

// receiveStream takes stream bytes, which are in buf. It reports whether they
// were taken, and whether buf was kept for that.
func (c *Conn) receiveStream(off uint64, b []byte, buf *[]byte, fin bool, to Sink) (ok, kept bool, err error) {
	r := &c.rcv
	if err := r.fits(off, len(b), fin); err != nil {
		return false, false, err
	}
	switch {
	case off <= r.next:
		r.deliver(off, b, to)
	case !r.room():
		return false, false, nil
	default:
		kept = r.pieces.add(off, b, buf)
	}
	if fin && !r.fin {
		r.fin, r.end = true, off+uint64(len(b))
	}
	r.settle(to)
	return true, kept, nil
}

// parsed frames are large (64 ranges) and short-lived: no connection owns one.
var parsed = sync.Pool{New: func() any { return new(sal.Frame) }}

// receiveFrames takes control frames. It reports whether any asks for an
// acknowledgement.
func (c *Conn) receiveFrames(now flow.Time, on *flow.Flow, b []byte) (eliciting bool, err error) {
	if len(b) == 0 {
		return false, nil
	}
	fr := parsed.Get().(*sal.Frame)
	defer parsed.Put(fr)
	for len(b) > 0 {
		n, err := sal.ParseFrame(b, fr)
		if err != nil {
			return false, err
		}
		b = b[n:]
		switch fr.Type {
		case sal.FramePad:
			continue
		case sal.FrameAck:
			f := c.Flow(fr.Ack.Flow)
			if f == nil {
				return false, flow.ErrAckUnsent
			}
			una := c.snd.una
			if err := f.OnAck(now, &fr.Ack, c); err != nil {
				return false, err
			}
			c.onAcks(now, una)
			if f.Progress() == now {
				c.alive(now, c.paths[f.Index], true)
			}
			continue
		case sal.FramePing:
			c.pinged = true
		case sal.FrameAckEvery:
			if f := c.Flow(fr.Every.Flow); f != nil {
				f.OnAckWish(&fr.Every)
			}
		case sal.FrameWindow:
			c.snd.limit = max(c.snd.limit, fr.Offset)
		case sal.FrameReset:
			c.fail(&ResetError{fr.Code, string(fr.Reason)})
			return false, nil
		case sal.FrameChallenge:
			if c.control != nil {
				c.control.Challenge(now, on, fr.Data)
			} else {
				c.answer, c.answers = fr.Data, true
			}
		case sal.FrameResponse:
			if c.control != nil {
				c.control.Response(now, on, fr.Data)
			}
		case sal.FrameRSYN:
			if c.control != nil {
				c.control.RSYN(now, on, &fr.RSYN)
			}
		case sal.FramePaths:
			c.onPaths(now, &fr.Paths)
		}
		eliciting = true
	}
	return eliciting, nil
}
