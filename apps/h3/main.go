// H3 serves the files of a directory by HTTP/3 under a service name, and fetches
// them.
//
//	h3 serve DIRECTORY svc:files
//	h3 get svc:files PATH [FILE]
//
// It is quic-go over serval datagrams: QUIC and HTTP/3 are those of the library,
// while the instance is chosen, and moves between interfaces are made, below it.
package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/serval-net/serval/pkg/serval"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "h3:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	isGet := len(args) >= 3 && len(args) <= 4 && args[0] == "get"
	if !isGet && (len(args) != 3 || args[0] != "serve") {
		return fmt.Errorf("usage: h3 serve DIRECTORY NAME, or h3 get NAME PATH [FILE]")
	}
	node, err := serval.Default()
	if err != nil {
		return err
	}
	defer node.Close()
	if isGet {
		return save(args[3:], func(w *os.File) error { return get(ctx, node, w, os.Stderr, args[1], args[2]) })
	}
	pc, err := node.ListenPacket(args[2])
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "serving %s as %s\n", args[1], pc.LocalAddr())
	return serve(ctx, pc, args[1])
}

// save writes to the file that is named, or else to standard output.
func save(file []string, write func(*os.File) error) error {
	if len(file) == 0 {
		return write(os.Stdout)
	}
	w, err := os.Create(file[0])
	if err == nil {
		err = cmp.Or(write(w), w.Close())
	}
	return err
}
