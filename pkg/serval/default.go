package serval

import (
	"sync"
)

var (
	defaultMu   sync.Mutex
	defaultNode *Node
)

// Default returns the node that the package's functions use. The first call
// makes it from the environment.
func Default() (*Node, error) {
	defaultMu.Lock()
	defer defaultMu.Unlock()
	if defaultNode != nil {
		return defaultNode, nil
	}
	n, err := NewNode(Config{})
	if err != nil {
		return nil, err
	}
	defaultNode = n
	return n, nil
}
