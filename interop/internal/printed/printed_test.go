package printed

import (
	"context"
	"io"
	"strings"
	"testing"
)

func TestExpect(t *testing.T) {
	l, done := By("program"), make(chan struct{})
	r, w := io.Pipe()
	go func() {
		l.Read(r)
		close(done)
	}()
	go io.WriteString(w, "starting\nserving at 1.2.3.4\n")
	if at, err := l.Expect(t.Context(), `serving at (\S+)`, done); at != "1.2.3.4" || err != nil {
		t.Errorf("%q, %v", at, err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Expect(over, "stopped", done); err == nil || !strings.Contains(err.Error(), `program did not print "stopped"`) {
		t.Error(err)
	}
	go func() {
		io.WriteString(w, "stopping\n")
		w.Close()
	}()
	if got, err := l.Expect(t.Context(), "stopping", done); got != "stopping" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := l.Expect(t.Context(), "stopped", done); err == nil || err.Error() != "program ended:\n    starting\n    serving at 1.2.3.4\n    stopping" {
		t.Error(err)
	}
	if l.Text() != "starting\nserving at 1.2.3.4\nstopping" {
		t.Errorf("%q", l.Text())
	}
}
