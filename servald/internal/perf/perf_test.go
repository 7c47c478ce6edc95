package perf

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/serval-net/serval/servald/internal/conntest"
)

// link is a connection on which each write takes a millisecond of virtual time.
type link struct{ *conntest.Conn }

func (l link) Write(b []byte) (int, error) {
	time.Sleep(time.Millisecond)
	return l.Conn.Write(b)
}

// network serves each dialled connection with Handle.
type network struct {
	served sync.WaitGroup
	mu     sync.Mutex
	errs   []error
}

func (n *network) dial(ctx context.Context) (net.Conn, error) {
	a, b := conntest.Pipe()
	n.served.Go(func() {
		if err := Handle(context.Background(), link{b}); err != nil {
			n.mu.Lock()
			n.errs = append(n.errs, err)
			n.mu.Unlock()
		}
	})
	return link{a}, nil
}

func TestRunBothWays(t *testing.T) {
	for _, reverse := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			var n network
			var rows []Row
			res, err := Run(t.Context(), n.dial, Test{Duration: 3 * time.Second, Streams: 2, Reverse: reverse},
				func(r Row) { rows = append(rows, r) })
			if err != nil {
				t.Fatal(err)
			}
			n.served.Wait()
			if len(n.errs) > 0 {
				t.Fatalf("server: %v", n.errs)
			}
			// A block each millisecond and stream for three seconds.
			want := 2 * 3000 * int64(blockSize)
			if d := res.Bytes - want; d < -want/100 || d > want/100 {
				t.Errorf("reverse %v: %d bytes, want about %d", reverse, res.Bytes, want)
			}
			if d := res.Elapsed - 3*time.Second; d.Abs() > 50*time.Millisecond {
				t.Errorf("reverse %v: took %v", reverse, res.Elapsed)
			}
			if f := res.Fairness(); f < 0.99 {
				t.Errorf("fairness %v", f)
			}
			if len(rows) < 2 || len(rows) > 3 || rows[1].From != rows[0].To || len(rows[0].Streams) != 2 {
				t.Fatalf("rows %+v", rows)
			}
			if bps := rows[1].BitsPerSecond(); math.Abs(bps-2*1000*blockSize*8) > 0.02*2*1000*blockSize*8 {
				t.Errorf("second row at %v bit/s", bps)
			}
		})
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n network
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := Run(ctx, n.dial, Test{}, nil)
		if err == nil {
			t.Error("no error")
		}
		n.served.Wait()
	})
}

func TestRunReportsARefusal(t *testing.T) {
	dial := func(context.Context) (net.Conn, error) {
		a, b := conntest.Pipe()
		go func() {
			readMessage(b, new(request))
			writeMessage(b, reply{Error: "too busy"})
			b.Close()
		}()
		return a, nil
	}
	if _, err := Run(t.Context(), dial, Test{}, nil); err == nil || !strings.Contains(err.Error(), "too busy") {
		t.Errorf("got %v", err)
	}
}

func TestRunReportsAFailedDial(t *testing.T) {
	broken := errors.New("broken")
	dial := func(context.Context) (net.Conn, error) { return nil, broken }
	if _, err := Run(t.Context(), dial, Test{}, nil); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestHandleRefusesWhatIsNotATest(t *testing.T) {
	for _, text := range []string{
		"GET / HTTP/1.1\r\n\r\n",
		"\x00\x02{}",
		"\x00\x04null",
		"\x00\x30" + `{"version":1,"reverse":false,"duration_ns":9e18}`,
	} {
		a, b := conntest.Pipe()
		done := make(chan error, 1)
		go func() { done <- Handle(t.Context(), b) }()
		go func() { io.WriteString(a, text); a.CloseWrite() }()
		io.Copy(io.Discard, a)
		if err := <-done; err == nil {
			t.Errorf("%q was served", text)
		}
	}
}

func FuzzReadMessage(f *testing.F) {
	var b bytes.Buffer
	writeMessage(&b, request{Version: 1, Duration: time.Second})
	f.Add(b.Bytes())
	f.Add([]byte{0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		var req request
		if readMessage(bytes.NewReader(b), &req) == nil && req.check() == nil &&
			(req.Duration <= 0 || req.Duration > maxDuration) {
			t.Errorf("accepted %+v", req)
		}
	})
}

func TestJSON(t *testing.T) {
	r := Result{Bytes: 1000, Elapsed: time.Second, Streams: []Stream{{1000, time.Second}}}
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"bits_per_second":8000`, `"seconds":1`, `"fairness":1`, `"reverse":false`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("%s lacks %s", text, want)
		}
	}
	text, _ = json.Marshal(Row{To: time.Second, Bytes: 10, Streams: []int64{10}})
	if want := `{"bits_per_second":80,"bytes":10,"from_s":0,"stream_bytes":[10],"to_s":1}`; string(text) != want {
		t.Errorf("row is %s", text)
	}
}
