// Web serves the files of a directory under a service name, and fetches them.
//
//	web serve DIRECTORY svc:files
//	web get svc:files PATH [FILE]
//
// It is net/http over serval connections: any number of instances may serve the
// name, and when one dies in the middle, get goes on where it was with another.
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
		fmt.Fprintln(os.Stderr, "web:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	isGet := len(args) >= 3 && len(args) <= 4 && args[0] == "get"
	if !isGet && (len(args) != 3 || args[0] != "serve") {
		return fmt.Errorf("usage: web serve DIRECTORY NAME, or web get NAME PATH [FILE]")
	}
	node, err := serval.Default()
	if err != nil {
		return err
	}
	defer node.Close()
	if isGet {
		return save(args[3:], func(w *os.File) error {
			f := &fetcher{dial: node.DialContext, log: os.Stderr}
			return f.get(ctx, w, args[1], args[2])
		})
	}
	ln, err := node.Listen(args[2])
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "serving %s as %s\n", args[1], ln.Addr())
	return serve(ctx, ln, args[1])
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
