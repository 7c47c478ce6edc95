package exec

import (
	"bufio"
	"bytes"
	"slices"
	"strings"
)

// bypasses are sources of host names that ask a server of the host over a Unix socket,
// which a namespace does not keep from them.
var bypasses = []string{"resolve", "nis", "nisplus", "winbind", "wins"}

// nsswitchConf returns old such that host names are looked up by DNS where old would
// have asked a server that bypasses it.
func nsswitchConf(old []byte) []byte {
	var b bytes.Buffer
	found := false
	for line := range lines(old) {
		database, sources, ok := strings.Cut(line, ":")
		if ok && strings.TrimSpace(database) == "hosts" {
			sources, _, _ = strings.Cut(sources, "#")
			line, found = "hosts: "+hostSources(sources), true
		}
		b.WriteString(line + "\n")
	}
	if !found {
		b.WriteString("hosts: files dns\n")
	}
	return b.Bytes()
}

// hostSources rewrites what follows "hosts:". A source may be followed by what to do
// after it, such as [!UNAVAIL=return], which goes with it.
func hostSources(sources string) string {
	var kept []string
	skip := false
	for _, word := range strings.Fields(strings.NewReplacer("[", " [", "]", "] ").Replace(sources)) {
		switch {
		case strings.HasPrefix(word, "[") || skip && !isSource(word):
			if !skip {
				kept = append(kept, word)
			}
		case slices.Contains(bypasses, word):
			skip = true
			if word == "resolve" { // which looks into /etc/hosts itself
				kept = addOnce(addOnce(kept, "files"), "dns")
			}
		case word == "files", word == "dns":
			skip = slices.Contains(kept, word)
			kept = addOnce(kept, word)
		default:
			skip = false
			kept = append(kept, word)
		}
	}
	return strings.Join(addOnce(kept, "dns"), " ")
}

func addOnce(words []string, word string) []string {
	if slices.Contains(words, word) {
		return words
	}
	return append(words, word)
}

// isSource tells a source from the rest of what stands in brackets.
func isSource(word string) bool {
	return !strings.ContainsAny(word, "[]=!")
}

// lines yields the lines of a file.
func lines(b []byte) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		s := bufio.NewScanner(bytes.NewReader(b))
		for s.Scan() {
			if !yield(s.Text()) {
				return
			}
		}
	}
}
