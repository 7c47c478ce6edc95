package expose

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
)

// listensUDP reports whether some socket of this host has a UDP port, and whether
// that could be found out.
func listensUDP(port uint16) (listens, known bool) {
	for _, path := range []string{"/proc/net/udp", "/proc/net/udp6"} {
		f, err := os.Open(path)
		if err != nil {
			continue
		}
		known = true
		listens = listens || hasPort(f, port)
		f.Close()
	}
	return listens, known
}

// hasPort looks a local port up in a table such as /proc/net/udp, whose lines start
// with "  sl: ADDRESS:PORT ", in hexadecimal.
func hasPort(r io.Reader, port uint16) bool {
	want := fmt.Sprintf(":%04X", port)
	for lines := bufio.NewScanner(r); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 1 && strings.HasSuffix(fields[1], want) {
			return true
		}
	}
	return false
}
