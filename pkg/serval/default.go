package serval

import (
	"sync"
)

var (
	defaultMu   sync.Mutex
	defaultNode *Node
)

// Default returns the node that the package's functions use. The first call
// makes it from the environment, as ConfigFromEnv says. It lives until the
// process ends; a program that wants its last bytes delivered calls its Close.
func Default() (*Node, error) {
	defaultMu.Lock()
	defer defaultMu.Unlock()
	if defaultNode != nil {
		return defaultNode, nil
	}
	cfg, err := ConfigFromEnv()
	if err != nil {
		return nil, err
	}
	n, err := NewNode(cfg)
	if err != nil {
		cfg.release()
		return nil, err
	}
	defaultNode = n
	return n, nil
}
