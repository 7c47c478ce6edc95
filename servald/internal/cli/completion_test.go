package cli

import (
	"bytes"
	"strings"
	"testing"
)

func TestCompletions(t *testing.T) {
	h := newHost(t)
	twoProcesses(h)
	t.Setenv("SERVAL_SOCKET", h.socket)
	for line, want := range map[string]string{
		"migrate conn ":               "3f9a1c02\tsvc:web curl[",
		"migrate flow ":               "3f9a1c02/1\tsvc:web wlan0 suspect\n",
		"migrate service ":            "svc:shop/cart\n",
		"migrate iface ":              "lo\t",
		"migrate conn 3f9a1c02 --to ": "lo\t",
		"policy conn 3f9a1c02 ":       "pinned:lo\n",
		"policy service ":             "svc:web\n",
		"drain ":                      "lo\t",
		"flows --service ":            "svc:web\n",
		"migrate conn 3f9a1c02 ":      ":4\n",
	} {
		var out, errs bytes.Buffer
		(&App{out: &out, err: &errs}).run(t.Context(), append([]string{"__complete"}, strings.Split(line, " ")...))
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is completed with %q, %q", line, &out, &errs)
		}
	}
}

func TestHelpHasExamples(t *testing.T) {
	for _, line := range []string{"flows", "paths", "monitor", "drain", "migrate", "migrate conn", "migrate flow", "migrate service", "migrate iface", "policy", "policy conn", "policy service", "forward", "socks5", "http-proxy"} {
		out, _, code := newHost(t).servald(append(strings.Fields(line), "--help")...)
		if code != 0 || !strings.Contains(out, "Examples:\n  servald "+line) {
			t.Errorf("%s --help: %q", line, out)
		}
	}
}
