package resolvconf

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// maxFile bounds what is read of a resolv.conf.
const maxFile = 64 << 10

// maxServers is how many servers programs read from the file (resolv.conf(5)).
const maxServers = 3

// content is what a resolv.conf says.
type content struct {
	servers []netip.Addr
	rest    []string // all other lines that mean something, such as search
}

// parse reads a resolv.conf, leaving out what makes no sense as programs do.
func parse(b []byte) (c content) {
	for text := range bytes.Lines(b) {
		line := strings.TrimSpace(string(text))
		words := strings.Fields(line)
		if len(words) == 0 || line[0] == '#' || line[0] == ';' {
			continue
		}
		if words[0] != "nameserver" {
			c.rest = append(c.rest, line)
		} else if len(words) > 1 {
			if a, err := netip.ParseAddr(words[1]); err == nil && !slices.Contains(c.servers, a) {
				c.servers = append(c.servers, a)
			}
		}
	}
	return c
}

// Render returns a resolv.conf with these servers, of which programs use the first
// three, and with what another says besides its servers.
func Render(servers []netip.Addr, like []byte) []byte {
	var b bytes.Buffer
	for _, a := range servers {
		fmt.Fprintf(&b, "nameserver %v\n", a)
	}
	for _, line := range parse(like).rest {
		words := strings.Fields(line)
		if words[0] == "options" { // servald must stay the first to be asked
			words = slices.DeleteFunc(words, func(w string) bool { return w == "rotate" })
			if len(words) == 1 {
				continue
			}
			line = strings.Join(words, " ")
		}
		b.WriteString(line + "\n")
	}
	return b.Bytes()
}

const (
	mark = "# servald made this file: it answers for names below svc.serval and asks the servers that were here before for all others.\n"
	sum  = "# sum "
)

// ours makes our file in place of another.
func ours(server netip.Addr, before []byte, backup string) []byte {
	servers := []netip.Addr{server}
	for _, a := range parse(before).servers {
		if a != server && len(servers) < maxServers {
			servers = append(servers, a) // they work when servald was killed
		}
	}
	body := fmt.Sprintf("# The file that was here is %s; `servald run` puts it back when it ends.\n%s", backup, Render(servers, before))
	return []byte(mark + sum + checksum([]byte(body)) + "\n" + body)
}

func checksum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:16])
}

// isOurs reports whether a file is one that we have made, and intact that nobody has
// changed it since. A file that is empty may be ours, if we were killed while writing
// to it.
func isOurs(b []byte) (made, intact bool) {
	rest, made := bytes.CutPrefix(b, []byte(mark))
	if !made {
		return len(b) > 0 && bytes.HasPrefix([]byte(mark), b), false
	}
	line, body, _ := bytes.Cut(rest, []byte("\n"))
	return true, string(line) == sum+checksum(body)
}

// maxAsked bounds the servers to forward to.
const maxAsked = 8

// addresses is a list of servers as text.
func addresses(list []netip.Addr) (out []string) {
	for _, a := range list[:min(len(list), maxAsked)] {
		out = append(out, a.String())
	}
	return out
}
