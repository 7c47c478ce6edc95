package check

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestVerdict(t *testing.T) {
	v := verdict{fall: 3, rise: 2}
	var changes []int
	for i, answer := range "++-+--+---++-+-++" {
		if v.hear(answer == '+') {
			changes = append(changes, i)
		}
	}
	if !slices.Equal(changes, []int{9, 11}) || v.ill {
		t.Errorf("the verdict changed at %v, ill: %v", changes, v.ill)
	}
}

// TestWatch: a server is ill after some failures in a row, and well again after
// some answers.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		at := func() time.Duration { return time.Since(begin) }
		down := errors.New("down")
		ask := func(context.Context) error {
			if at() < 10*time.Second || at() > 15*time.Second && at() < 16*time.Second || at() > 20*time.Second && at() < 30*time.Second {
				return down
			}
			return nil
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var said error
		if err := Await(ctx, Config{Every: time.Second}, ask, func(err error) { said = err }); err != nil || at() != 10*time.Second || said != down {
			t.Errorf("Await returned %v after %v and said %v", err, at(), said)
		}
		var changes []time.Duration
		Watch(ctx, Config{Every: time.Second, Fall: 3}, ask, func(ill error) {
			if (ill != nil) != (len(changes)%2 == 0) {
				t.Errorf("change %d is for %v", len(changes), ill)
			}
			changes = append(changes, at())
		})
		if want := []time.Duration{23 * time.Second, 31 * time.Second}; !slices.Equal(changes, want) {
			t.Errorf("it changed at %v, want %v", changes, want)
		}
		if at() != time.Minute {
			t.Errorf("Watch returned after %v", at())
		}
		if err := Await(ctx, Config{}, ask, nil); err != nil {
			t.Errorf("Await of a server that is well: %v", err)
		}
		if err := Await(ctx, Config{}, func(ctx context.Context) error { return down }, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Await returned %v", err)
		}
	})
}

// TestTimeout: who does not answer is as ill as who says no.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		var ill error
		Watch(ctx, Config{}, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }, func(err error) { ill = err })
		if !errors.Is(ill, context.DeadlineExceeded) {
			t.Errorf("a silent server is %v", ill)
		}
	})
}

func TestParseMistakes(t *testing.T) {
	dial := func(context.Context) (net.Conn, error) { return nil, errors.New("no") }
	for text, want := range map[string]string{
		"":           "write tcp, http://",
		"ping":       "write tcp, http://",
		"tcp:a:80":   "takes no address",
		"http:":      "is not an URL",
		"http://":    "is not an URL",
		"https://%":  "is not an URL",
		"cmd: ":      "names no command",
		"ftp://host": "no way to ask",
	} {
		if _, err := Parse(text, dial); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, err := Parse("tcp", nil); err == nil || !strings.Contains(err.Error(), "there is none") {
		t.Errorf("tcp without a server: %v", err)
	}
}

// TestProbes asks real servers and commands.
func TestProbes(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the commands are those of a Unix shell")
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, " 0.75\n") })
	mux.HandleFunc("/ill", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "ill", http.StatusServiceUnavailable) })
	srv := httptest.NewServer(mux)
	defer srv.Close()
	gone := httptest.NewServer(mux)
	gone.Close()
	dial := func(ctx context.Context) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", srv.Listener.Addr().String())
	}
	for _, c := range []struct {
		text   string
		well   bool
		number float64 // -1 if it is none
		says   string  // in the error
	}{
		{"tcp", true, -1, ""},
		{srv.URL + "/ok", true, 0.75, ""},
		{srv.URL + "/ill", false, -1, "503"},
		{gone.URL + "/ok", false, -1, "refused"},
		{"cmd:true", true, -1, ""},
		{"cmd:echo 2.5", true, 2.5, ""},
		{"cmd:echo why >&2; false", false, -1, "why"},
		{"cmd:no-such-program-", false, -1, "no-such-program-"},
		{"cmd:head -c 100000 /dev/zero", true, -1, ""},
	} {
		p, err := Parse(c.text, dial)
		if err != nil {
			t.Fatal(err)
		}
		err = p.Check(t.Context())
		if (err == nil) != c.well || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%v: %v", p, err)
		}
		v, err := p.Number(t.Context())
		if (err == nil) != (c.number >= 0) || err == nil && v != c.number {
			t.Errorf("%v says %v, %v", p, v, err)
		}
	}
	t.Run("Slow", func(t *testing.T) {
		p, err := Parse("cmd:sleep 60", nil)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if err := p.Check(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a slow command: %v", err)
		}
	})
}

func TestGauge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answers := []string{"0.5", "nonsense", "0.7"}
		var g Gauge
		var log strings.Builder
		p := Probe{"test", func(context.Context) ([]byte, error) {
			said := answers[0]
			answers = answers[min(1, len(answers)-1):]
			return []byte(said), nil
		}}
		ctx, cancel := context.WithCancel(t.Context())
		go g.Follow(ctx, time.Second, p, slog.New(slog.NewTextHandler(&log, nil)))
		for i, want := range []float64{0.5, 0.5, 0.7, 0.7} {
			synctest.Wait()
			if g.Value() != want {
				t.Errorf("after %d seconds the gauge shows %v, want %v", i, g.Value(), want)
			}
			time.Sleep(time.Second)
		}
		cancel()
		synctest.Wait()
		if n := strings.Count(log.String(), "not a number"); n != 1 {
			t.Errorf("the log has %d lines: %s", n, log.String())
		}
	})
}
