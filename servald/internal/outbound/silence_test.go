package outbound

import (
	"testing"
	"time"
)

// TestSilence: an instance is given up when datagrams went to it for a while and nothing
// at all came; not for being quiet when nothing was sent, nor for not answering.
func TestSilence(t *testing.T) {
	type at struct {
		send  float64 // seconds
		quiet float64 // nothing has come for so long
		gone  bool
	}
	for name, all := range map[string][]at{
		"alive":             {{0, 0, false}, {4, 4, false}, {6, 1, false}, {12, .1, false}, {20, 2, false}},
		"dead":              {{0, 0, false}, {1, 1, false}, {4.9, 4.9, false}, {6, 6, true}},
		"dies later":        {{0, 0, false}, {6, 0, false}, {8, 2, false}, {11.5, 5.5, true}},
		"dies at once":      {{0, 0, false}, {.5, .4, false}, {1, .9, false}, {3, 2.9, false}, {5.9, 5.8, false}, {6.1, 6, false}, {7, 6.9, true}},
		"seldom":            {{0, 0, false}, {100, 99.9, false}, {200, 99.9, false}, {203, 2.9, false}},
		"dies after a rest": {{0, 0, false}, {100, 99.9, false}, {102, 101.9, false}, {105.5, 105.4, true}},
	} {
		var s silence
		began := time.Now()
		for _, a := range all {
			got := s.sent(began.Add(time.Duration(a.send*1e9)), func() time.Duration { return time.Duration(a.quiet * 1e9) })
			if got != a.gone {
				t.Errorf("%s: after %v s gone is %v", name, a.send, got)
			}
		}
	}
}
