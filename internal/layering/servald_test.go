package layering

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const inServald = module + "servald/internal/"

// TestServaldPackages: docs/design.md says what each package of servald is for, in an order
// in which imports point downward.
func TestServaldPackages(t *testing.T) {
	text, err := os.ReadFile("../../docs/design.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "## The packages of servald\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var order []string
	for line := range strings.Lines(section) {
		first, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " |")
		if strings.HasPrefix(line, "| `") {
			for _, m := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(first, -1) {
				order = append(order, m[1])
			}
		}
	}
	dirs, err := os.ReadDir("../../servald/internal")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range dirs {
		if !slices.Contains(order, d.Name()) {
			t.Errorf("servald/internal/%s is not in docs/design.md; say there what it is for", d.Name())
		}
	}
	if len(order) != len(dirs) {
		t.Errorf("docs/design.md has %d packages of servald, there are %d", len(order), len(dirs))
	}
	out, err := exec.Command("go", "list", "-json=ImportPath,Imports", inServald+"...").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for dec := json.NewDecoder(strings.NewReader(string(out))); dec.More(); {
		var p listed
		if err := dec.Decode(&p); err != nil {
			t.Fatal(err)
		}
		from, _, _ := strings.Cut(strings.TrimPrefix(p.ImportPath, inServald), "/")
		for _, imp := range p.Imports {
			to, ours := strings.CutPrefix(imp, inServald)
			to, _, _ = strings.Cut(to, "/")
			if ours && to != from && slices.Index(order, to) < slices.Index(order, from) {
				t.Errorf("%s imports %s, which stands above it in docs/design.md", from, to)
			}
		}
	}
}
