// Command wireguard is the benchmark's process for wireguard-go with its
// netstack. It is a module of its own because it needs an older gVisor than
// serval; the benchmark builds and starts it.
package main

import (
	"fmt"
	"os"

	"github.com/serval-net/serval/interop/bench/load"
)

func main() {
	systems := map[string]load.Transport{"wireguard-go": &tunnel{}}
	if err := load.Process(os.Args[1:], systems); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
