package serval

import (
	"net/netip"
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/sal"
)

// TestGoneIsNewsOnce: the first dial to an instance that is no more waits for its
// successor; once that was in vain, others fail at the first refusal, until there
// is somebody.
func TestGoneIsNewsOnce(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	client, ended := l.nodeWith(Config{TryNext: time.Hour}, ip(1)), l.node(2)
	l.net.Host(ip(3)) // nothing listens there, and the host says so
	for _, tt := range []struct {
		service string
		to      netip.AddrPort
		kind    error
	}{{"svc:ended", ended.at(), ErrNoService}, {"svc:killed", at(3), ErrRefused}} {
		l.add(tt.service, tt.to)
		for i := range 4 {
			rec := l.record()
			_, err := client.Dial(tt.service)
			sentence(t, err, tt.kind, tt.service)
			if n := rec.count(sal.TypeSYN, client.at(), tt.to); (n == 1) != (i > 0) {
				t.Errorf("%s: dial %d asked %d times", tt.service, i+1, n)
			}
		}
	}
	l.echo(ended, "svc:ended")
	must(t, ask(l.dial(client, "svc:ended"), "it is back"))
	if n := len(client.gone.m); n != 1 {
		t.Errorf("%d are remembered as gone", n)
	}
}

func TestGone(t *testing.T) {
	var g gone
	now := time.Unix(1000, 0)
	web, db := sal.MustParseName("web"), sal.MustParseName("db")
	for i, step := range []struct {
		service sal.Name
		after   time.Duration // of the last step
		since   time.Duration // before now
	}{
		{web, 0, 0},
		{web, time.Second, time.Second},
		{db, time.Second, 0},
		{web, 9 * time.Second, 11 * time.Second},
		{web, goneFor + time.Second, 0},
	} {
		now = now.Add(step.after)
		if since := now.Sub(g.note(step.service, at(1), now)); since != step.since {
			t.Errorf("step %d: gone for %v, want %v", i, since, step.since)
		}
	}
	g.back(web, at(1))
	if since := now.Add(time.Second).Sub(g.note(web, at(1), now.Add(time.Second))); since != 0 {
		t.Errorf("back, and gone again for %v", since)
	}
	for i := range 2 * maxGone {
		g.note(web, at(i), now)
	}
	if len(g.m) > maxGone {
		t.Errorf("%d are remembered", len(g.m))
	}
}
