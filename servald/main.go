// Servald is the host's part in a Serval cluster: it makes and joins clusters, keeps
// the host in their gossip, and is the way in and out for programs that know TCP only.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/serval-net/serval/servald/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the program at once.
	context.AfterFunc(ctx, stop)
	code := cli.Main(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
