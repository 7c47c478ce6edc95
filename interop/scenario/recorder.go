package scenario

import "time"

const (
	// RecordBin is the length of a Record's bins.
	RecordBin = 5 * time.Millisecond
	// ShortestSilence is the shortest one that is recorded.
	ShortestSilence = 5 * time.Millisecond
)

// Record is what a receiver saw, for a Timeline of another process on the same
// machine.
type Record struct {
	Start    int64     `json:"start"`  // Unix time, nanoseconds
	Bin      float64   `json:"bin_ms"` // milliseconds
	Bytes    []uint64  `json:"bytes"`
	Silences []Silence `json:"silences"` // milliseconds after Start
}

// Recorder makes a Record. It is for one goroutine.
type Recorder struct {
	start, last time.Time
	record      Record
}

// NewRecorder returns a Recorder that counts from now on.
func NewRecorder(now time.Time) *Recorder {
	return &Recorder{start: now, last: now, record: Record{Start: now.UnixNano(), Bin: milliseconds(RecordBin)}}
}

// Add records that n bytes arrived.
func (r *Recorder) Add(now time.Time, n int) {
	if n <= 0 {
		return
	}
	r.quiet(now)
	bin := int(now.Sub(r.start) / RecordBin)
	for len(r.record.Bytes) <= bin {
		r.record.Bytes = append(r.record.Bytes, 0)
	}
	r.record.Bytes[bin] += uint64(n)
	r.last = now
}

// quiet records the silence up to now.
func (r *Recorder) quiet(now time.Time) {
	if now.Sub(r.last) >= ShortestSilence {
		r.record.Silences = append(r.record.Silences, Silence{milliseconds(r.last.Sub(r.start)), milliseconds(now.Sub(r.start))})
	}
}

// Finish returns the record. A silence that lasts still ends now.
func (r *Recorder) Finish(now time.Time) Record {
	r.quiet(now)
	return r.record
}
