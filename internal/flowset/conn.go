package flowset

import (
	"errors"
	"fmt"
	"time"

	"github.com/serval-net/serval/internal/flow"
	"github.com/serval-net/serval/pkg/sal"
)

const (
	// DefaultWindow is the receive credit a connection starts with, in bytes.
	DefaultWindow = 1 << 20
	// DefaultMaxWindow is how far that credit may grow: five round trips of
	// 1 Gbit/s at 100 ms, which is what heavy loss takes (see window).
	DefaultMaxWindow = 64 << 20
	// DefaultPatience is how long outstanding data waits for any sign of the
	// peer before the connection fails.
	DefaultPatience = 10 * time.Minute

	minBacklog = 512 << 10
	maxBacklog = 64 << 20
)

// Errors that end a connection.
var (
	ErrTimedOut     = errors.New("the peer has been silent for too long; its host or every path to it is down")
	errBeyondWindow = errors.New("the peer sent beyond the window it was granted")
	errBeyondFIN    = errors.New("the peer sent beyond the end of its stream")
	// ErrAuth is a packet that was not sealed by the peer; it changes nothing.
	ErrAuth = errors.New("packet fails authentication")
	// ErrDuplicate is a packet number that was seen before; it changes nothing.
	ErrDuplicate = errors.New("packet is a duplicate")
)

// Reset codes on the wire.
const (
	ResetAborted uint64 = iota // the application closed with data unread, or aborted
	ResetProtocol
	ResetNotAuthorized
	ResetShutdown
)

// ResetError is the peer's reason for ending the connection.
type ResetError struct {
	Code   uint64
	Reason string
}

func (e *ResetError) Error() string {
	if e.Reason == "" {
		return fmt.Sprintf("reset by the peer (code %d)", e.Code)
	}
	return "reset by the peer: " + e.Reason
}

// Config is what a connection starts from; zero fields take the defaults.
type Config struct {
	Window     int // our receive credit, as told to the peer when opening
	MaxWindow  int
	PeerWindow uint64 // the peer's initial credit
	Patience   time.Duration
	Datagram   bool // unreliable datagrams instead of a stream

	Control Control // takes path control; nil answers challenges and ignores the rest
	// OnState is told of every change of a flow's state, from within the call
	// that caused it; nil for nobody.
	OnState func(i uint8, from, to State, now flow.Time)
}

// Conn is one connection's protocol state.
type Conn struct {
	paths    []*path // by index
	mode     Mode
	control  Control
	onState  func(i uint8, from, to State, now flow.Time)
	snd      sender
	rcv      receiver
	dgrams   dgramQueue
	datagram bool
	patience time.Duration

	frames  []byte  // scratch for building
	answer  [8]byte // owed RESPONSE
	answers bool
	ping    bool   // a PING is owed on the best flow
	pongs   uint64 // pings that were answered
	pinged  bool   // the packet at hand has a PING
	hello   bool   // an empty packet is owed: it proves that we have the keys

	resetCode uint64
	resetWhy  string
	resetOut  uint16 // flows on which a RST is owed, one bit each
	aborted   bool   // by Reset, so that the peer must learn of it
	resetAt   flow.Time
	reminders int
	err       error

	in, out   stall
	lastIn    flow.Time // last time bytes of the stream arrived in order
	standby   standby
	doubt     doubt
	bulkSince flow.Time // when the backlog became long
	bulkFrom  uint64    // next by then

	advert       *advert // nil before the first
	peerRevision uint64  // of the newest PATHS
	peerMode     Mode
	peerCosts    [sal.MaxPathFlows]uint8
}

// New returns a connection without flows.
func New(c Config) *Conn {
	if c.Window == 0 {
		c.Window = DefaultWindow
	}
	if c.MaxWindow == 0 {
		c.MaxWindow = DefaultMaxWindow
	}
	if c.Patience == 0 {
		c.Patience = DefaultPatience
	}
	conn := &Conn{patience: c.Patience, datagram: c.Datagram, control: c.Control, onState: c.OnState}
	conn.snd.limit = c.PeerWindow
	conn.rcv.window.init(uint64(c.Window), uint64(c.MaxWindow))
	return conn
}

// Write queues stream bytes; c owns d from now on.
func (c *Conn) Write(d Data) {
	if c.err != nil || c.snd.fin {
		d.Release()
		return
	}
	c.snd.write(d)
}

// CloseWrite ends the outgoing stream after what was written.
func (c *Conn) CloseWrite() { c.snd.fin = true }

// Ending reports whether CloseWrite was called.
func (c *Conn) Ending() bool { return c.snd.fin }

// Accepted returns how far the stream may be called sent towards the
// application: far enough ahead of what has left to keep the path full, near
// enough to push back. It may move back when the path becomes narrower.
func (c *Conn) Accepted() uint64 {
	ahead := minBacklog
	for _, p := range c.paths {
		if p.state.open() && p.carries() {
			ahead += p.f.Window()
		}
	}
	return min(c.snd.end, c.snd.next+uint64(ahead), c.snd.una+maxBacklog)
}

// Consumed records that the application read n bytes. It reports whether
// Transmit has something to say because of it.
func (c *Conn) Consumed(_ flow.Time, n int) bool { return c.rcv.window.consume(n) }

// Reset ends the connection; Transmit sends a last RST packet.
func (c *Conn) Reset(code uint64, why string) {
	if c.err != nil {
		return
	}
	c.aborted, c.resetCode, c.resetWhy = true, code, why
	c.resetEverywhere()
	c.fail(&ResetError{code, why})
}

// remind owes the peer another RST when it goes on sending after ours: that one
// was lost. The number is bounded and the pace that of round trips, so that two
// ends cannot keep each other busy.
func (c *Conn) remind(now flow.Time, h *sal.Short) {
	const most = 10
	if !c.aborted || h.Type == sal.TypeRST || c.reminders == most || now < c.resetAt {
		return
	}
	c.reminders++
	c.resetAt = now.Add(c.longestRTT() + 10*time.Millisecond)
	c.resetEverywhere()
}

// resetEverywhere owes a RST on all flows that may get it through.
func (c *Conn) resetEverywhere() {
	for i, p := range c.paths {
		if p.state.open() {
			c.resetOut |= 1 << i
		}
	}
}

// Fail ends the connection without telling the peer.
func (c *Conn) Fail(err error) {
	if c.err == nil {
		c.fail(err)
	}
}

func (c *Conn) fail(err error) {
	c.err = err
	c.snd.releaseAll()
	c.rcv.pieces.drop()
}

// Err is why the connection ended early, nil while it has not.
func (c *Conn) Err() error { return c.err }

// Sent reports whether everything written, the end of stream included, has
// been acknowledged.
func (c *Conn) Sent() bool { return c.snd.fin && c.snd.finAcked && c.snd.una == c.snd.end }

// Drained reports whether everything written so far has been acknowledged.
func (c *Conn) Drained() bool { return c.snd.una == c.snd.end && (!c.snd.fin || c.snd.finAcked) }

// Finished reports whether the peer's stream was handed over to its end.
func (c *Conn) Finished() bool { return c.rcv.finished }

// Timeout does what is due.
func (c *Conn) Timeout(now flow.Time) {
	idle := c.Drained()
	for _, p := range c.paths {
		p.f.Idle = idle
		if p.f.Timeout(now, c) {
			c.silent(now, p)
		}
		if now >= c.quietAt(p) {
			p.ping, p.bulk, p.quiet = true, 0, true
		}
	}
	c.resolve(now)
	if since, waiting := c.waiting(); waiting && now.Sub(since) > c.patience {
		c.Fail(ErrTimedOut)
	}
}

// waiting reports whether the peer owes a sign of life, and when it gave the
// last one.
func (c *Conn) waiting() (since flow.Time, ok bool) {
	ok = !c.snd.lost.empty() || !c.doubt.set.empty()
	for _, p := range c.paths {
		ok = ok || p.f.InFlight() > 0
		since = max(since, p.f.LastHeard())
	}
	return since, ok
}

// Deadline returns when Timeout, and Transmit after it, want to be called.
func (c *Conn) Deadline() flow.Time {
	t := flow.Never
	if c.err != nil {
		return t
	}
	if c.doubt.until != 0 {
		t = c.doubt.until
	}
	acks := c.best() != nil // there is a flow they may leave on
	ready := acks && c.ready()
	for _, p := range c.paths {
		t = min(t, p.f.Deadline(ready && p.pending && p.state.open(), acks), c.quietAt(p))
	}
	if since, waiting := c.waiting(); waiting {
		t = min(t, since.Add(c.patience)+1)
	}
	return t
}

func (c *Conn) ready() bool {
	return c.snd.ready() || c.dgrams.n > 0 || c.mirrors() && c.snd.una < c.snd.end
}

// PacketAcked implements flow.Owner.
func (c *Conn) PacketAcked(_ *flow.Flow, r flow.Record) {
	if r.Kind&flow.Data != 0 {
		c.snd.onAcked(r.Off, int(r.N))
	}
	if r.Kind&flow.FIN != 0 {
		c.snd.finAcked = true
	}
	if r.Kind&flow.Ping != 0 {
		c.pongs++
	}
	if r.Kind&flow.Paths != 0 {
		c.advertAcked(r.Off)
	}
}

// PacketLost implements flow.Owner.
func (c *Conn) PacketLost(f *flow.Flow, r flow.Record) {
	if c.err != nil {
		return
	}
	if r.Kind&flow.Data != 0 {
		if c.mirrors() {
			c.lostOne(f, r.Off, r.Off+uint64(r.N))
		} else {
			c.snd.onLost(r.Off, int(r.N))
		}
	}
	if r.Kind&flow.FIN != 0 && !c.snd.finAcked {
		c.snd.finSent, c.paths[f.Index].finSent = false, false
	}
	if r.Kind&flow.Window != 0 {
		c.rcv.window.dirty = true
	}
	if r.Kind&flow.Ping != 0 {
		c.paths[f.Index].ping = true
	}
	if r.Kind&flow.Paths != 0 {
		c.advertLost(f, r.Off)
	}
	if r.Kind&flow.Every != 0 {
		f.AckWishLost()
	}
}

// Ping asks for a sign of life with the next Transmit, on the best flow.
func (c *Conn) Ping() { c.ping = true }

// Pongs counts the pings that the peer acknowledged.
func (c *Conn) Pongs() uint64 { return c.pongs }

// Hello makes the next Transmit send something, if only an empty packet that
// asks for no answer: proof to the dialler that its third packet arrived.
func (c *Conn) Hello() { c.hello = true }

// Stats counts stream bytes.
type Stats struct {
	Written, Acked, Delivered uint64
	Queued                    int // accepted from the application, not yet acknowledged
	Held                      int // received out of order, waiting
	Window                    uint64
	LongestStall              time.Duration // see Stalled; of those that are over
}

// Stats returns a snapshot.
func (c *Conn) Stats() Stats {
	return Stats{c.snd.end, c.snd.una, c.rcv.next, c.snd.backlog(), c.rcv.pieces.held, c.rcv.window.size, max(c.in.longest, c.out.longest)}
}
