package scenario

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/interop/lab"
)

const everything = `
title  All there is   # a comment
path a 100mbit 20ms
path b 2.5mbit 80ms queue 400ms loss 1% jitter 2ms reorder 0.5% duplicate 0.1%
path c unlimited 0s nat symmetric
family dual
with third joined serverlo metrics
client a b
server c
use mode failover
use words several of them

at 3s down a
at 1s up server.c
at 3s cut b
at 3.5s mend b
at 4s remove a
at 4s add a
at 5s swap server.c network
at 5s swap a
at 6s move a b
at 7s flap a 500ms
at 8s calm a
at 9s blackhole b up
at 9s unblackhole b down
at 9s blackhole c
at 10s firewall a on
at 10s nat a symmetric
at 10s rebind a
at 11s set a 10mbit 100ms loss 5%
at 12s tell client migrate  eth1
end 1m`

func TestParse(t *testing.T) {
	s, err := Parse(everything)
	if err != nil {
		t.Fatal(err)
	}
	want := lab.Topology{
		Paths: []lab.Path{
			{Rate: 100e6, RTT: 20 * time.Millisecond, Queue: DefaultQueue},
			{Rate: 2.5e6, RTT: 80 * time.Millisecond, Queue: 400 * time.Millisecond, Loss: 0.01, LossUp: 0.01,
				Jitter: 2 * time.Millisecond, Reorder: 0.005, Duplicate: 0.001},
			{Queue: DefaultQueue, NAT: lab.SymmetricNAT},
		},
		Family: lab.Dual, Third: true, Joined: true, ServerLo: true, Metrics: true,
		Client: []int{0, 1}, Server: []int{2},
	}
	if !reflect.DeepEqual(s.Topology, want) {
		t.Errorf("got  %+v\nwant %+v", s.Topology, want)
	}
	if s.Title != "All there is" || s.End != time.Minute || s.Options["mode"] != "failover" || s.Options["words"] != "several of them" {
		t.Errorf("got %+v", s)
	}
	for i, want := range []Event{
		{time.Second, Action{Verb: Up, Host: Server, Path: 2}},
		{3 * time.Second, Action{Verb: Down, Host: Client}},
		{3 * time.Second, Action{Verb: Cut, Host: Client, Path: 1}},
	} {
		if !reflect.DeepEqual(s.Events[i], want) {
			t.Errorf("event %d: %+v, want %+v", i, s.Events[i], want)
		}
	}
	if last := s.Events[len(s.Events)-1]; last.Tell != "migrate eth1" || last.Host != Client {
		t.Errorf("told %+v", last)
	}
}

func TestParseErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "no path",
		"path b 1mbit 1ms":               "want: path a",
		"path a 1mbit 1ms\nat 1s down b": "no path b",
		"path a fast":                    `line 1: "path a fast": "fast" is neither a rate`,
		"path a 1bit":                    "neither",
		"path a 0.001kbit":               "neither",
		"path a loss":                    "loss: want a value",
		"path a loss 2":                  "no share",
		"path a loss NaN":                "no share",
		"path a queue -1s":               "no time",
		"path a 1ns":                     "neither",
		"path a\nat 1s":                  "want: at TIME ACTION",
		"path a\nat soon down a":         "no time",
		"path a\nat 1s explode a":        "unknown action",
		"path a\nat 1s down":             "want a path",
		"path a\nat 1s down router.a":    "unknown host",
		"path a\nat 1s down a b":         `unexpected "b"`,
		"path a\nat 1s down server.1":    `"1" is no path`,
		"path a\nat 1s firewall a maybe": "want one of off, on",
		"path a\nat 1s nat a":            "want one of keep, off, symmetric",
		"path a\nat 1s swap a other":     "want one of network",
		"path a\nat 1s tell router x":    "want one of client, server",
		"path a\nat 1s tell client":      "want: tell",
		"path a\nat 1s set a":            "want: set",
		"path a\nat 1s set a nat keep":   "want: nat PATH",
		"path a nat carrier-grade":       "want one of keep, off, symmetric",
		"path a\nat 1s move a":           "want: move",
		"path a\nat 1s flap a":           "want: flap",
		"path a\nat 5s down a\nend 5s":   "ends at 5s, with an event at 5s",
		"path a\nclient":                 "want the names",
		"path a\nclient a a":             "path a twice",
		"path a\nfamily ipx":             "want one of dual, v4, v6",
		"path a\nwith bells":             "unknown \"bells\"",
		"path a\nuse it":                 "want: use KEY VALUE",
		"paths a":                        "unknown word",
	} {
		_, err := Parse(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(everything)
	f.Add("path a\nat 1s down a")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(s.String())
		if err != nil {
			t.Fatalf("%v, in its own text:\n%s", err, s)
		}
		if s.String() != again.String() {
			t.Errorf("one text:\n%s\nthe other:\n%s", s, again)
		}
	})
}
