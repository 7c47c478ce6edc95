// Package layering checks that imports point downward only; docs/design.md
// draws the layers.
package layering

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/serval-net/serval/"

// rank orders the layers; a package may import only packages of lower rank.
// Those of equal rank do not know each other.
var rank = map[string]int{
	"pkg/sal":           0,
	"internal/due":      0,
	"internal/seal":     1,
	"pkg/identity":      1,
	"pkg/flowtable":     1,
	"pkg/servicetable":  1,
	"internal/hook":     1,
	"internal/underlay": 1,
	"internal/unixsock": 1,
	"internal/netstack": 1,

	"internal/flow":      2,
	"internal/handshake": 2,
	"internal/simnet":    2,
	"pkg/resolver":       2,

	"internal/mesh":        2,
	"internal/flowset":     3,
	"internal/rsyn":        3,
	"internal/nodectl":     3,
	"pkg/resolver/gossip":  3,
	"pkg/resolver/control": 3,

	"pkg/serval": 4,
	"apps":       5,
	"servald":    5,
	"interop":    6,
}

// forbidden lists what a layer must stay free of, besides higher layers.
var forbidden = map[string][]string{
	"pkg/sal":          {"github.com/", "golang.org/", "gvisor.dev/"},
	"internal/flow":    {"net", "os", "gvisor.dev/"},
	"internal/flowset": {"net", "os", "gvisor.dev/"},
	"internal/rsyn":    {"net", "os", "gvisor.dev/"},
	"pkg/resolver":     {"github.com/hashicorp/"},
	"pkg/flowtable":    {"net", "gvisor.dev/"},
	"pkg/servicetable": {"net", "gvisor.dev/"},
}

type listed struct {
	ImportPath string
	Imports    []string
}

// layer is the part of the tree a package belongs to: a whole program, or a
// package of its own.
func layer(path string) string {
	p := strings.TrimPrefix(path, module)
	if top, _, _ := strings.Cut(p, "/"); top != "pkg" && top != "internal" {
		return top
	}
	return p
}

func TestImportsPointDownward(t *testing.T) {
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", module+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	dec := json.NewDecoder(strings.NewReader(string(out)))
	seen := 0
	for dec.More() {
		var p listed
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		from := layer(p.ImportPath)
		if from == "internal/layering" || from == "internal/deps" {
			continue
		}
		r, ok := rank[from]
		if !ok {
			t.Errorf("%s has no place in the layers; give it one here and in docs/design.md", from)
			continue
		}
		seen++
		for _, imp := range p.Imports {
			checkImport(t, from, r, imp)
		}
	}
	if seen < len(rank) {
		t.Errorf("only %d of %d layers were found", seen, len(rank))
	}
}

func checkImport(t *testing.T, from string, r int, imp string) {
	for _, no := range forbidden[from] {
		if imp == no || strings.HasSuffix(no, "/") && strings.HasPrefix(imp, no) {
			t.Errorf("%s imports %s, which its layer must not know", from, imp)
		}
	}
	if !strings.HasPrefix(imp, module) {
		return
	}
	to := layer(imp)
	if to != from && rank[to] >= r {
		t.Errorf("%s imports %s: imports point downward only", from, to)
	}
}
