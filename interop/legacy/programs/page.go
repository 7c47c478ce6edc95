//go:build linux

package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/serval-net/serval/interop/internal/machine"
	"github.com/serval-net/serval/interop/legacy/catalogue"
	"github.com/serval-net/serval/interop/legacy/stage"
)

const preface = `# Programs that know nothing of Serval

Written by ` + "`make programs`" + `: do not edit. Real clients on one host, real servers on
another, two paths of 4 and 12 ms between them. Each server runs in two or three
instances behind one name, each with servald serve. A program gets to the service

- **forward**: at a port of its own host, where servald forward listens, or servald run
  where a program needs TCP and UDP at one port;
- **exec**: by name, with servald exec in front of its command;
- **SOCKS5**: by name, through servald's SOCKS5 proxy, or its HTTP proxy where it knows
  no other;
- **TUN**: by name, on a host whose servald answers for names and addresses;
- **capture**: the same with rules of nftables in place of the device.

**works** is one run whose output is checked: files byte by byte. **survives** is one
long run during which the client loses its first path, gets it back, loses its second
and gets that back, and which must end without an error and with all it had to do.
Programs that are not run for long do not have that, nor those that send UDP by capture,
which leaves them the host's own addresses: from that of an interface that is gone nothing
can be sent. Empty: the way does not fit, such as UDP through a proxy that the program
does not know.

The last column is where several runs in a row went, each a client of its own: the
instances in all by the way that reached most, and the most that one run used. Several
connections of one program belong together, so that should be one.

`

// markdown returns the page: a line per program.
func markdown(all []catalogue.Outcome, now time.Time) string {
	var b strings.Builder
	b.WriteString(preface)
	b.WriteString("| Program |")
	for _, w := range stage.Ways {
		fmt.Fprintf(&b, " %s |", w)
	}
	b.WriteString(" instances, of one run |\n|---|" + strings.Repeat("---|", len(stage.Ways)) + "---|\n")
	var names []string
	for _, o := range all {
		if !slices.Contains(names, o.Program) {
			names = append(names, o.Program)
		}
	}
	for _, name := range names {
		fmt.Fprintf(&b, "| %s |", name)
		union, most := 0, 0
		for _, w := range stage.Ways {
			n := slices.IndexFunc(all, func(o catalogue.Outcome) bool { return o.Program == name && o.Way == w })
			if n < 0 {
				b.WriteString(" |")
				continue
			}
			o := all[n]
			fmt.Fprintf(&b, " %s |", cell(o))
			union, most = max(union, o.Union), max(most, o.Most)
		}
		if union == 0 {
			b.WriteString(" |\n")
			continue
		}
		fmt.Fprintf(&b, " %d, %d |\n", union, most)
	}
	n := catalogue.Count(all)
	fmt.Fprintf(&b, "\n%d of %d work, %d of %d survive. %s, %s.\n", n.Passed, n.Ran, n.Survived, n.Cut, now.UTC().Format("2 January 2006"), machine.Describe())
	failed := ""
	for _, o := range all {
		for _, why := range o.Why {
			failed += fmt.Sprintf("- %s, %s: %s\n", o.Program, o.Way, strings.Join(strings.Fields(why), " "))
		}
	}
	if failed != "" {
		b.WriteString("\n## Failed\n\n" + failed)
	}
	return b.String()
}

// cell is what the table says of one program by one way.
func cell(o catalogue.Outcome) string {
	switch {
	case len(o.Missing) > 0:
		return "not installed"
	case !o.Works:
		return "failed"
	case o.Survived:
		return "survives"
	case o.Cut:
		return "works, does not survive"
	}
	return "works"
}
