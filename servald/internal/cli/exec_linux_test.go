package cli

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/serval-net/serval/servald/internal/conntest"
)

// asServald, in the environment, makes this executable servald.
const asServald = "CLI_TEST_SERVALD"

func TestMain(m *testing.M) {
	if os.Getenv(asServald) != "" {
		ctx, _ := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		os.Exit(Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// TestExec runs real programs for which a service is a host.
func TestExec(t *testing.T) {
	r := newReal(t)
	free := conntest.Listen(t)
	seed := free.Addr().String()
	free.Close()
	if _, errs, code := r.run("", "init", "--seed", seed); code != exitOK {
		t.Fatal(errs)
	}
	r.start("run")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Write([]byte("you asked for " + req.Host + "\n"))
	}))
	t.Cleanup(server.Close)
	r.start("serve", "svc:shop/web", "--to", server.Listener.Addr().String())

	servald := func(args ...string) (string, int) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "/proc/self/exe", args...)
		cmd.Env = append(os.Environ(), asServald+"=1")
		out, _ := cmd.CombinedOutput()
		return string(out), cmd.ProcessState.ExitCode()
	}
	if out, code := servald("exec", "--", "true"); code != 0 {
		t.Skipf("no namespaces here: %s", out)
	}
	for program, want := range map[string]string{
		"curl -sS http://web.shop.svc.serval/":            "you asked for web.shop.svc.serval\n",
		"curl -sS -4 http://web.shop.svc.serval:4711/":    "you asked for web.shop.svc.serval:4711\n",
		"wget -q -O - http://web.shop.svc.serval/":        "you asked for web.shop.svc.serval\n",
		"curl -sS " + server.URL:                          "you asked for " + strings.TrimPrefix(server.URL, "http://") + "\n",
		"ping -c 1 -w 20 web.shop.svc.serval":             " 0% packet loss",
		"getent hosts none.shop.svc.serval":               "",
		"git ls-remote http://web.shop.svc.serval/no.git": "fatal: ",
		"ssh -o BatchMode=yes web.shop.svc.serval":        "Connection closed by fd5e:7276:616c:",
	} {
		words := strings.Fields(program)
		if _, err := exec.LookPath(words[0]); err != nil {
			t.Logf("skipped %s: %v", words[0], err)
			continue
		}
		if out, _ := servald(append([]string{"exec", "--"}, words...)...); !strings.Contains(out, want) || want == "" && out != "" {
			t.Errorf("%s: %q, want %q", program, out, want)
		}
	}
	// Arguments need no dashes before, and servald's own go first.
	if out, code := servald("--home", filepath.Join(os.TempDir(), "none"), "exec", "sh", "-c", "echo $0; exit 3", "-v"); out != "-v\n" || code != 3 {
		t.Errorf("%q, code %d", out, code)
	}
	t.Setenv("SERVAL_SOCKET", filepath.Join(t.TempDir(), "none"))
	t.Setenv("SERVAL_HOME", t.TempDir())
	if out, code := servald("exec", "true"); code != 125 || !strings.Contains(out, "servald init") {
		t.Errorf("in no cluster: %q, code %d", out, code)
	}
}
