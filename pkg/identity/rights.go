package identity

import (
	"fmt"
	"slices"

	"github.com/serval-net/serval/pkg/sal"
)

// Rights are the services that a node may serve and dial, as patterns: "*" is
// every service, "web" is that one, "shop/*" is shop and everything below it. A
// nil list means every service, an empty list that is not nil means none.
type Rights struct {
	Serve, Dial []string
}

const maxPatterns = 16 // in one list

// everything is by far the most common pattern.
var everything = sal.MustParseName("*")

// rights are Rights as certificates hold them.
type rights struct {
	serve, dial []sal.Name
}

// parse checks the patterns and turns nil lists into what they mean.
func (r Rights) parse() (p rights, err error) {
	if p.serve, err = parsePatterns(r.Serve); err != nil {
		return rights{}, err
	}
	p.dial, err = parsePatterns(r.Dial)
	return p, err
}

func parsePatterns(list []string) ([]sal.Name, error) {
	if list == nil {
		return []sal.Name{everything}, nil
	}
	if len(list) > maxPatterns {
		return nil, fmt.Errorf("%d service patterns in one list: at most %d fit, use wildcards such as shop/*", len(list), maxPatterns)
	}
	names := make([]sal.Name, 0, len(list))
	for _, s := range list {
		name, err := sal.ParseName(s)
		if err != nil {
			return nil, fmt.Errorf("service pattern %q is not valid, write *, web or shop/*: %w", s, err)
		}
		names = append(names, name)
	}
	return names, nil
}

// covered reports whether one of the patterns covers the name.
func covered(patterns []sal.Name, name sal.Name) bool {
	return slices.ContainsFunc(patterns, func(p sal.Name) bool { return p.Covers(name) })
}
