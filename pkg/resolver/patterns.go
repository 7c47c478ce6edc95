package resolver

import "github.com/serval-net/serval/pkg/sal"

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
		path = path[:max(lastSlash(path), 0)]
	}
	return append(names, everything)
}

var everything = sal.MustParseName("*")

func lastSlash(s string) int {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == '/' {
			return i
		}
	}
	return -1
}
