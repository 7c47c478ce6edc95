package flow

import "time"

// BaseMTU is the UDP payload every path is assumed to carry: IPv6's minimum
// MTU of 1280 less IPv6 and UDP headers (RFC 8200, RFC 9000 section 14).
const BaseMTU = 1232

// MaxMTU is the largest UDP payload over IPv4.
const MaxMTU = 65507

// plateaus are UDP payloads worth trying, largest first: loopback, jumbo frames
// over IPv4 and IPv6, Ethernet, PPPoE, and common tunnels.
var plateaus = [...]int{MaxMTU, 65487, 8972, 8952, 1472, 1452, 1464, 1444, 1412, 1392, 1332}

const (
	mtuTries      = 3
	mtuRetryAfter = 10 * time.Minute // RFC 8899 PMTU_RAISE_TIMER
)

// mtu discovers the path MTU (DPLPMTUD, RFC 8899): it starts where nothing can
// break and, once there is bulk to send, probes all larger plateaus that the
// local interface allows at the same time, so that the answer is there after
// one round trip.
type mtu struct {
	current int
	limit   int // what the local interface carries
	tries   int
	at      int  // index into plateaus of the next probe of this try
	nextTry Time // 0: not started
	done    bool
}

func (m *mtu) init(limit int) {
	if limit <= 0 || limit > MaxMTU {
		limit = MaxMTU
	}
	*m = mtu{current: min(BaseMTU, limit), limit: limit}
}

// probe returns the size of a probe to send now, or 0.
func (m *mtu) probe(now Time, rto time.Duration) int {
	if now < m.nextTry {
		return 0
	}
	if m.done || m.tries == mtuTries { // look again for a path that grew
		m.done, m.tries, m.at = false, 0, 0
	}
	for m.at < len(plateaus) {
		p := plateaus[m.at]
		m.at++
		if p <= m.limit && p > m.current {
			return p
		}
		if p > m.limit && m.at < len(plateaus) && plateaus[m.at] < m.limit && m.limit > m.current {
			return m.limit // the interface's own odd size
		}
	}
	m.at = 0
	m.tries++
	if m.tries == mtuTries || m.current >= m.limit {
		m.done = true
		m.nextTry = now.Add(mtuRetryAfter)
	} else {
		m.nextTry = now.Add(max(2*rto, 100*time.Millisecond) << m.tries)
	}
	return 0
}

// acked learns that a packet of size bytes passed.
func (m *mtu) acked(size int) {
	m.current = max(m.current, size)
}

// tooBig learns that the local interface refuses size bytes.
func (m *mtu) tooBig(size int) {
	m.limit = max(BaseMTU, min(m.limit, size-1))
	m.current = min(m.current, m.limit)
}

// blackhole falls back to the base after repeated silence: a path may have
// shrunk without telling anyone.
func (m *mtu) blackhole(now Time) {
	if m.current > BaseMTU {
		limit := m.limit
		m.init(limit)
		m.nextTry = now.Add(time.Second)
	}
}
