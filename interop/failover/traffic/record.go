//go:build linux

package traffic

import (
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"slices"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/serval-net/serval/interop/internal/content"
)

// Now reads the machine's monotonic clock, which all processes share: times of
// senders, receivers and those who break the network between them compare.
func Now() time.Duration {
	var ts unix.Timespec
	unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return time.Duration(ts.Nano())
}

// resolution is the time within which arrivals count as one.
const resolution = 250 * time.Microsecond

// Sample says that so many bytes reached the application from At on.
type Sample struct {
	At    time.Duration
	Bytes int
}

// Record is what one end sent and received on one connection.
type Record struct {
	Sent        int64
	SentSum     string // SHA-256, hexadecimal
	Received    int64
	ReceivedSum string
	Samples     []Sample
	// Wrong is the position of the first byte received that was not the
	// stream's; -1 if there was none.
	Wrong int64
	// Ended is set when the stream was read to its end.
	Ended bool
	// Error is what the application saw; it is empty when all went well.
	Error string
	// Detail is what the transport says of the connection, for people.
	Detail string
}

// The two directions of a connection carry different content.
const (
	seedUp   = 0x5e27a1
	seedDown = 0xd0318
)

// recorder makes a Record. Sending, receiving and reporting may be concurrent.
type recorder struct {
	sendSeed, receiveSeed uint64
	scratch               []byte

	mu      sync.Mutex
	rec     Record
	out, in hash.Hash
}

func newRecorder(sendSeed, receiveSeed uint64) *recorder {
	return &recorder{
		sendSeed: sendSeed, receiveSeed: receiveSeed, scratch: make([]byte, chunk),
		rec: Record{Wrong: -1}, out: sha256.New(), in: sha256.New(),
	}
}

// next fills b with what is to be sent next.
func (r *recorder) next(b []byte) { content.Fill(b, r.sendSeed, r.rec.Sent) }

// sent notes that the connection took b.
func (r *recorder) sent(b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rec.Sent += int64(len(b))
	r.out.Write(b)
}

// received notes what arrived, at most chunk bytes.
func (r *recorder) received(b []byte) {
	now := Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if i := content.Differs(b, r.scratch, r.receiveSeed, r.rec.Received); i >= 0 && r.rec.Wrong < 0 {
		r.rec.Wrong = r.rec.Received + int64(i)
	}
	r.rec.Received += int64(len(b))
	r.in.Write(b)
	if n := len(r.rec.Samples); n > 0 && now-r.rec.Samples[n-1].At < resolution {
		r.rec.Samples[n-1].Bytes += len(b)
	} else {
		r.rec.Samples = append(r.rec.Samples, Sample{now, len(b)})
	}
}

// failed notes an error, the first of which counts.
func (r *recorder) failed(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rec.Error == "" {
		r.rec.Error = err.Error()
	}
}

// size is the memory that the record itself takes, which grows with time.
func (r *recorder) size() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return uint64(cap(r.rec.Samples)) * uint64(unsafe.Sizeof(Sample{}))
}

func (r *recorder) ended() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rec.Ended = true
}

// report returns the record so far.
func (r *recorder) report() Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec := r.rec
	rec.Samples = slices.Clone(rec.Samples)
	rec.SentSum = hex.EncodeToString(r.out.Sum(nil))
	rec.ReceivedSum = hex.EncodeToString(r.in.Sum(nil))
	return rec
}
