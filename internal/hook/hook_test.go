package hook

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func needShell(t *testing.T) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("needs a Unix shell")
	}
}

func TestCheck(t *testing.T) {
	for want, h := range map[string]Hook{
		"":             {Command: []string{"start", ""}},
		" ":            {URL: "https://[::1]:8080/start"},
		"either":       {},
		"either ":      {Command: []string{"start"}, URL: "http://localhost"},
		"no program":   {Command: []string{"", "x"}},
		"zero byte":    {Command: []string{"a\x00b"}},
		"at most 4096": {Command: []string{strings.Repeat("x", 5000)}},
		"not a URL":    {URL: "ftp://localhost/"},
		"not a URL ":   {URL: "http:///start"},
		"not a URL  ":  {URL: "http://\x7f"},
	} {
		err := h.Check()
		if want = strings.TrimSpace(want); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v does not speak of %q", h, err, want)
		}
	}
}

var instance = netip.MustParseAddrPort("192.0.2.7:4000")

func TestCommand(t *testing.T) {
	needShell(t)
	h := Hook{Command: []string{"sh", "-c", `echo "starting $SERVAL_SERVICE $SERVAL_SERVICE_ID"; echo forward 192.0.2.7:4000; echo ttl 5s`}}
	a, err := h.Run(t.Context(), Call{Service: "svc:web", ID: "01ab"})
	if err != nil || !slices.Equal(a.Forward, []netip.AddrPort{instance}) || a.TTL != 5*time.Second {
		t.Errorf("answer %+v, %v", a, err)
	}
	h.Command[2] = `echo "no room for $SERVAL_SERVICE" >&2; exit 3`
	if _, err = h.Run(t.Context(), Call{Service: "svc:web"}); err == nil || !strings.Contains(err.Error(), "no room for svc:web") {
		t.Errorf("a command that fails: %v", err)
	}
	h.Command = []string{"/no/such/program"}
	if _, err = h.Run(t.Context(), Call{}); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a command that is not there: %v", err)
	}
	h.Command = []string{"sh", "-c", "yes"} // it talks without end
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err = h.Run(ctx, Call{}); err == nil || ctx.Err() == nil {
		t.Errorf("a command without end: %v", err)
	}
}

// A command that hangs is killed with what it has started; one that ends well
// leaves running what it has started.
func TestCommandChildren(t *testing.T) {
	needShell(t)
	for name, hangs := range map[string]bool{"hangs": true, "ends": false} {
		mark := filepath.Join(t.TempDir(), "mark")
		script := fmt.Sprintf("(sleep 0.4; echo > %s) >/dev/null 2>&1 & ", mark)
		if hangs {
			script += "wait"
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		_, err := Hook{Command: []string{"sh", "-c", script}}.Run(ctx, Call{})
		cancel()
		if (err != nil) != hangs {
			t.Errorf("%s: %v", name, err)
		}
		there := func() bool { _, err := os.Stat(mark); return err == nil }
		for end := time.Now().Add(10 * time.Second); !hangs && !there() && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
		}
		if hangs {
			time.Sleep(time.Second)
		}
		if there() == hangs {
			t.Errorf("%s: its child lives: %v", name, there())
		}
	}
}

func TestPost(t *testing.T) {
	var status int
	var kind, answer string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if want := `{"service":"svc:web","service_id":"01ab"}`; r.Method != "POST" || string(body) != want {
			t.Errorf("%s %s", r.Method, body)
		}
		w.Header().Set("Content-Type", kind)
		w.WriteHeader(status)
		io.WriteString(w, answer)
	}))
	defer s.Close()
	for _, test := range []struct {
		status       int
		kind, answer string
		forward      int
		err          string
	}{
		{200, "application/json; charset=utf-8", `{"forward":["192.0.2.7:4000"],"ttl_s":2.5}`, 1, ""},
		{204, "", "", 0, ""},
		{200, "text/html", "<p>done", 0, ""},
		{200, "application/json", "", 0, ""},
		{200, "application/json", `{"forward":["web:80"]}`, 0, "JSON"},
		{200, "application/json", `{"forward":["0.0.0.0:80"]}`, 0, "nobody"},
		{200, "application/json", `{"ttl_s":-1}`, 0, "ttl_s"},
		{200, "text/plain", strings.Repeat("x", MaxAnswer+1), 0, "longer"},
		{302, "", "", 0, "302"},
		{503, "text/plain", "no room\x1b\n", 0, "no room?"},
	} {
		status, kind, answer = test.status, test.kind, test.answer
		a, err := Hook{URL: s.URL}.Run(t.Context(), Call{Service: "svc:web", ID: "01ab"})
		if test.err == "" && (err != nil || len(a.Forward) != test.forward || a.TTL <= 0) ||
			test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
			t.Errorf("%d %q: %+v, %v", status, answer, a, err)
		}
	}
	s.Close()
	if _, err := (Hook{URL: s.URL}).Run(t.Context(), Call{}); err == nil {
		t.Error("a server that has gone answers")
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add([]byte("forward 192.0.2.7:4000\nttl 5s\nhello\n"))
	f.Add([]byte("forward [fe80::1%eth0]:1\nttl -1s"))
	f.Add([]byte(`{"forward":["[2001:db8::1]:1"],"ttl_s":1e9}`))
	f.Add([]byte(`{"forward":["[::ffff:192.0.2.1]:1"],"ttl_s":1e-20}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, parse := range []func([]byte) (Answer, error){ParseAnswer, ParseJSON} {
			a, err := parse(b)
			if err != nil {
				continue
			}
			if a.TTL <= 0 || a.TTL > MaxTTL || len(a.Forward) > MaxForward {
				t.Errorf("%q: %+v", b, a)
			}
			for _, addr := range a.Forward {
				if addr.Port() == 0 || addr.Addr().Zone() != "" || addr.Addr().Is4In6() {
					t.Errorf("%q: %v", b, addr)
				}
			}
		}
	})
}
