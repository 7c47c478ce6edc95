package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
)

// Process runs this process as one side of a benchmark, as the harness asks by
// the arguments:
//
//	server SYSTEM ADDR    serves until SIGTERM; prints "ready" once it listens
//	client SYSTEM SPEC    runs the Spec, in JSON, and prints the Result in JSON
func Process(args []string, systems map[string]Transport) error {
	if len(args) != 3 {
		return errors.New("want: server SYSTEM ADDR, or client SYSTEM SPEC")
	}
	t, ok := systems[args[1]]
	if !ok {
		return fmt.Errorf("unknown system %q", args[1])
	}
	switch args[0] {
	case "server":
		addr, err := netip.ParseAddrPort(args[2])
		if err != nil {
			return err
		}
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
	case "client":
		var spec Spec
		if err := json.Unmarshal([]byte(args[2]), &spec); err != nil {
			return err
		}
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
		defer stop()
		result, err := Run(ctx, t, spec)
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(result)
	}
	return fmt.Errorf("unknown side %q", args[0])
}
