// Demo shows late binding and failover with real processes: a cluster of servald
// daemons on loopback addresses, three replicas of a file service that gossip finds,
// downloads by name with curl and with servald, and replicas killed between and in
// the middle of downloads.
//
//	go run ./servald/internal/demo
//
// It needs no privileges, cleans up after itself, and fails if any step did not
// happen or any SHA-256 differs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/serval-net/serval/servald/internal/units"
)

const contentName = "content.tar"

func main() {
	size := units.Size(256 << 20)
	flag.Func("size", "least `size` of the file that is fetched (default 256M)", size.Set)
	limit := flag.Duration("timeout", 4*time.Minute, "give up after this time")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	if err := run(ctx, int64(size)); err != nil {
		switch ctx.Err() {
		case context.Canceled:
			err = errors.New("interrupted")
		case context.DeadlineExceeded:
			err = fmt.Errorf("not done after %v: %w", *limit, err)
		}
		fmt.Fprintln(os.Stderr, "\ndemo failed:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, size int64) error {
	if err := needCurl(ctx); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "serval-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	say("Collecting %s of source code to serve ...", units.Bytes(size))
	content := filepath.Join(dir, "content")
	if err := os.Mkdir(content, 0o755); err != nil {
		return err
	}
	sum, n, err := makeContent(filepath.Join(content, contentName), size)
	if err != nil {
		return err
	}
	say("  %s, SHA-256 %s", units.Bytes(n), sum)

	say("Building, and starting a cluster of one client and three replicas ...")
	c, err := newCluster(ctx, dir, content)
	defer c.stop()
	if err != nil {
		return err
	}
	start := time.Now()
	if err := c.wait(ctx, len(c.replicas)); err != nil {
		return err
	}
	say("  the client's servald has learnt of all by gossip, %s after the last came up", units.Duration(time.Since(start)))
	for _, h := range c.replicas {
		say("  %s  %s  %s", h.address, h.names[files], h.names[archive])
	}
	d := &demo{cluster: c, size: n, sum: sum}
	if err := d.steps(ctx); err != nil {
		return err
	}
	fmt.Println()
	table(os.Stdout, d.rows)
	return nil
}

// needCurl finds curl, and installs it where that is ours to do.
func needCurl(ctx context.Context) error {
	if _, err := exec.LookPath("curl"); err == nil {
		return nil
	}
	missing := errors.New("curl is missing: install it, with `apt-get install curl` for example")
	if os.Geteuid() != 0 {
		return missing
	}
	say("Installing curl ...")
	exec.CommandContext(ctx, "apt-get", "update", "-q").Run()
	if out, err := exec.CommandContext(ctx, "apt-get", "install", "-q", "-y", "curl").CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", missing, out)
	}
	return nil
}

func say(format string, args ...any) { fmt.Printf(format+"\n", args...) }
