package load

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"syscall"

	"github.com/serval-net/serval/interop/internal/command"
)

// Process runs this process as one side of a benchmark, as the harness asks by
// the arguments:
//
//	server SYSTEM ADDR    serves until SIGTERM; prints "ready" once it listens
//	client SYSTEM SPEC    runs the Spec, in JSON, and prints the Result in JSON
func Process(args []string, systems map[string]Transport) error {
	return command.Side(args, systems, serveUntilAsked, runOnce)
}

func serveUntilAsked(t Transport, addr netip.AddrPort) error {
	l, err := t.Listen(addr)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go Serve(l)
	<-stop
	if c, ok := t.(io.Closer); ok {
		return c.Close()
	}
	return l.Close()
}

func runOnce(t Transport, spec Spec) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	result, err := Run(ctx, t, spec)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}
