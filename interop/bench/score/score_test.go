package score

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	values := Values{}
	for system, all := range map[string][]float64{"quic-go": {200, 400}, "serval": {900, 1000, 700}} {
		for _, v := range all {
			values.Add("bulk-veth", system, v)
		}
	}
	results := values.Results("bulk-veth", "Mbit/s", []string{"serval", "tls", "quic-go"})
	if len(results) != 2 {
		t.Fatalf("%+v", results)
	}
	name := filepath.Join(t.TempDir(), "out", "bench.jsonl")
	if err := Write(name, results); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	first, _, _ := bytes.Cut(b, []byte("\n"))
	var got Result
	if err := json.Unmarshal(first, &got); err != nil {
		t.Fatal(err)
	}
	if want := (Result{"bulk-veth", "serval", "Mbit/s", 900, 700, 1000, 3}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	var text strings.Builder
	Table(&text, results, []string{"serval", "quic-go"})
	Targets(&text, results, []Target{
		{Row: "bulk-veth", Peer: "quic-go", Must: 2.5, Aim: 3.5},
		{Row: "bulk-veth", Must: 950, Aim: 950},
		{Row: "bulk-veth", Must: 950, Aim: 900, LowerWins: true},
		{Row: "bulk-veth", System: "quic-go", Peer: "serval", Must: 0.25, Aim: 0.25},
	})
	for _, want := range []string{"900 (700-1000)", "300 (200-400)", "3.00", ">= 2.5", "0.33", "ok", "MISSED", "aim"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in the report:\n%s", want, &text)
		}
	}
}
