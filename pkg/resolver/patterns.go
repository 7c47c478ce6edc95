package resolver

import (
	"strings"

	"github.com/serval-net/serval/pkg/sal"
)

// patterns returns the names under which instances of a service may be
// registered: itself, then the wildcards that cover it, narrowest first. No
// wildcard stands for a node.
func patterns(service sal.Name) []sal.Name {
	names := []sal.Name{service}
	if isNode(service) {
		return names
	}
	for path := service.Path(); path != ""; {
		if n, err := sal.ParseName(path + "/*"); err == nil && n.Covers(service) {
			names = append(names, n)
		}
		path = path[:max(strings.LastIndexByte(path, '/'), 0)]
	}
	return append(names, everything)
}

var everything = sal.MustParseName("*")
