//go:build linux

package traffic

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/serval-net/serval/interop/internal/command"
)

// The commands a process takes, one per line of its standard input, with
// arguments behind a space. It answers each with a line of the same word and a
// JSON value. A process says "ready" by itself first: a server with the
// addresses for Spec.Addrs, a client when its connections are open.
const (
	Ready  = "ready"
	Stop   = "stop"   // DURATION to wait for the end: Record of a client, []Record of a server
	Touch  = "touch"  // DURATION to wait for echoes: Touched
	Move   = "move"   // COUNT INTERFACE...: Moved
	Memory = "memory" // bytes of heap and stacks in use, less the client's record
)

// Process runs this process as one side, as the arguments say:
//
//	server SYSTEM ADDR
//	client SYSTEM SPEC    (JSON)
//
// until its standard input ends.
func Process(args []string, systems map[string]Transport) error {
	return command.Side(args, systems, serve, dial)
}

func serve(t Transport, addr netip.AddrPort) error {
	l, addrs, err := t.Listen(addr)
	if err != nil {
		return err
	}
	defer l.Close()
	s := &server{}
	go s.accept(l)
	say(Ready, addrs)
	return obey(map[string]func(args []string) any{
		Stop:   func([]string) any { return s.records() },
		Memory: func([]string) any { return memory() },
	})
}

func dial(t Transport, spec Spec) error {
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	c, err := open(ctx, t, spec)
	if err != nil {
		return err
	}
	say(Ready, nil)
	return obey(map[string]func(args []string) any{
		Stop:   func(args []string) any { return c.finish(duration(args)) },
		Memory: func([]string) any { return memory() - c.rec.size() },
		Touch:  func(args []string) any { return c.touch(duration(args)) },
		Move: func(args []string) any {
			count, _ := strconv.Atoi(args[0])
			return c.move(count, args[1:])
		},
	})
}

// obey executes the commands of the standard input.
func obey(commands map[string]func(args []string) any) error {
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) == 0 || commands[words[0]] == nil {
			return fmt.Errorf("unknown command %q", lines.Text())
		}
		say(words[0], commands[words[0]](words[1:]))
	}
	return lines.Err()
}

func say(word string, value any) {
	b, err := json.Marshal(value)
	if err != nil {
		panic(err) // plain data always encodes
	}
	fmt.Printf("%s %s\n", word, b)
}

// duration parses a command's only argument; the parent is this same program.
func duration(args []string) time.Duration {
	d, err := time.ParseDuration(strings.Join(args, " "))
	if err != nil {
		panic(err)
	}
	return d
}

// memory returns the bytes that live objects and stacks use, records included.
func memory() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // the second one empties sync.Pools
	runtime.ReadMemStats(&m)
	return m.HeapAlloc + m.StackInuse
}
