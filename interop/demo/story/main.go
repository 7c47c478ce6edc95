//go:build linux

// Command story shows live connections that survive: two downloads at the same
// time, one of curl through servald and one of a Go program, between two hosts
// with two paths, while a cable is pulled, packets vanish, an address changes and
// both ends move at once. It checks the SHA-256 of both and leaves a table and a
// plot.
//
//	go run ./interop/demo/story
//
// As root it does so in network namespaces; otherwise on loopback addresses,
// where much of it can only be simulated, and it says so. It expects servald and
// apps/web built in -bin.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/serval-net/serval/interop/internal/command"
	"github.com/serval-net/serval/interop/lab"
)

func main() { command.Main("\nstory failed", run) }

func run() error {
	// It starts itself again as the programs of the other hosts.
	if len(os.Args) > 2 && os.Args[1] == roleArg {
		return role(os.Args[2], os.Args[3:])
	}
	out := flag.String("out", "out/demo.svg", "the plot; beside it goes the timeline, .json")
	bin := flag.String("bin", "bin", "directory of servald and web")
	simulate := flag.Bool("loopback", false, "use loopback addresses even if there could be namespaces")
	limit := flag.Duration("timeout", 60*time.Second, "give up after this time")
	flag.Parse()

	ctx, stop := command.Interruptible()
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	dir, err := os.MkdirTemp("", "serval-story-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if *bin, err = filepath.Abs(*bin); err != nil {
		return err
	}
	err = tell(ctx, &cluster{dir: dir, bin: *bin}, *out, *simulate)
	switch {
	case err == nil || ctx.Err() == nil:
		return err
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("not done after %v: %w", *limit, err)
	}
	return command.ErrInterrupted
}

// tell plays the story and shows what came of it, even if that is a failure.
func tell(ctx context.Context, c *cluster, out string, simulate bool) error {
	s, err := newStage(c, simulate)
	if err != nil {
		return err
	}
	defer s.close()
	defer c.stop()
	say("%s", s.about())
	if err := c.start(ctx, s); err != nil {
		return err
	}
	downloads, err := c.download(ctx, s)
	if err != nil {
		return err
	}
	w := watch(ctx, c)
	if err := command.Pause(ctx, warm); err != nil {
		return err
	}
	w.sample(ctx) // the paths before the first event
	say("Both downloads run over both paths. Now, for %.0f s:", s.length().Seconds())
	t, err := s.play(ctx)
	if err != nil {
		return err
	}
	err = c.finish(ctx, downloads)
	s.enter(t, w.stop())
	for _, d := range downloads {
		t.AddRecord(d.name, d.record)
	}
	t.Measure()
	fmt.Printf("\n%s\n%s", table(t, downloads, w.samples), sums(downloads))
	for _, note := range s.notes() {
		say("%s", note)
	}
	return errors.Join(err, leave(t, s.capacity(), downloads, out))
}

// warm is how long the downloads run before something happens.
const warm = 1500 * time.Millisecond

// newStage prefers namespaces.
func newStage(c *cluster, simulate bool) (stage, error) {
	if simulate {
		return newLoopback(c, "as was asked for")
	}
	s, err := newNamespaces()
	if errors.Is(err, lab.ErrUnavailable) {
		return newLoopback(c, err.Error())
	}
	return s, err
}

func say(format string, args ...any) { fmt.Printf(format+"\n", args...) }
