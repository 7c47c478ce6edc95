package expose

import (
	"fmt"
	"strconv"
	"strings"
)

// Ports is a set of ports that clients may ask for. The empty one allows any.
type Ports []portRange

type portRange struct{ from, to uint16 }

// maxPorts bounds the list: it is looked through for each connection.
const maxPorts = 256

// ParsePorts reads ports and ranges of ports, such as "22" and "8000-8099".
func ParsePorts(list []string) (Ports, error) {
	if len(list) > maxPorts {
		return nil, fmt.Errorf("%d ports are too many; write them as at most %d ranges, such as 8000-8099", len(list), maxPorts)
	}
	var p Ports
	for _, text := range list {
		from, to, isRange := strings.Cut(text, "-")
		if !isRange {
			to = from
		}
		a, err1 := strconv.ParseUint(from, 10, 16)
		b, err2 := strconv.ParseUint(to, 10, 16)
		if err1 != nil || err2 != nil || a == 0 || b < a {
			return nil, fmt.Errorf("%q is not a port or a range of ports; write one such as 22 or 8000-8099", text)
		}
		p = append(p, portRange{uint16(a), uint16(b)})
	}
	return p, nil
}

// Allow reports whether clients may ask for a port. 0, which is none, they may not.
func (p Ports) Allow(port uint16) bool {
	if port == 0 {
		return false
	}
	for _, r := range p {
		if r.from <= port && port <= r.to {
			return true
		}
	}
	return len(p) == 0
}
