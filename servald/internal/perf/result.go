package perf

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/serval-net/serval/servald/internal/units"
)

// Row is what moved in one interval of a test, counted where Run is called.
type Row struct {
	From, To time.Duration // since the start
	Bytes    int64
	Streams  []int64 // the bytes of each stream
}

// BitsPerSecond is the rate over the interval.
func (r Row) BitsPerSecond() float64 { return units.BitsPerSecond(r.Bytes, r.To-r.From) }

// String is the row as a line of text.
func (r Row) String() string {
	return fmt.Sprintf("%6.2f-%-6.2f s %12s %14s", r.From.Seconds(), r.To.Seconds(),
		units.Bytes(r.Bytes), units.Rate(r.BitsPerSecond()))
}

// MarshalJSON gives the row in seconds, bytes and bits per second.
func (r Row) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{
		"from_s": r.From.Seconds(), "to_s": r.To.Seconds(), "bytes": r.Bytes,
		"bits_per_second": r.BitsPerSecond(), "stream_bytes": r.Streams,
	})
}

// Stream is what the receiver got on one connection.
type Stream struct {
	Bytes   int64
	Elapsed time.Duration // from the first byte to the last
}

// Result is the outcome of a test, counted by the receiver.
type Result struct {
	Reverse bool
	Bytes   int64
	Elapsed time.Duration // of the stream that took longest
	Streams []Stream
}

func result(t Test, streams []*stream) Result {
	r := Result{Reverse: t.Reverse}
	for _, s := range streams {
		r.Streams = append(r.Streams, Stream{s.bytes, s.elapsed})
		r.Bytes += s.bytes
		r.Elapsed = max(r.Elapsed, s.elapsed)
	}
	return r
}

// BitsPerSecond is the rate of all streams together.
func (r Result) BitsPerSecond() float64 { return units.BitsPerSecond(r.Bytes, r.Elapsed) }

// Fairness is Jain's index of the streams' bytes: 1 when all got the same, 1/n when
// one got everything, and 0 when nothing moved.
func (r Result) Fairness() float64 {
	var sum, squares float64
	for _, s := range r.Streams {
		sum += float64(s.Bytes)
		squares += float64(s.Bytes) * float64(s.Bytes)
	}
	if squares == 0 {
		return 0
	}
	return sum * sum / (float64(len(r.Streams)) * squares)
}

// MarshalJSON gives the result in seconds, bytes and bits per second.
func (r Result) MarshalJSON() ([]byte, error) {
	type stream struct {
		Bytes         int64   `json:"bytes"`
		Seconds       float64 `json:"seconds"`
		BitsPerSecond float64 `json:"bits_per_second"`
	}
	streams := make([]stream, 0, len(r.Streams))
	for _, s := range r.Streams {
		streams = append(streams, stream{s.Bytes, s.Elapsed.Seconds(), units.BitsPerSecond(s.Bytes, s.Elapsed)})
	}
	return json.Marshal(map[string]any{
		"reverse": r.Reverse, "bytes": r.Bytes, "seconds": r.Elapsed.Seconds(),
		"bits_per_second": r.BitsPerSecond(), "fairness": r.Fairness(), "streams": streams,
	})
}
