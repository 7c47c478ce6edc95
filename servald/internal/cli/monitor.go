package cli

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/serval-net/serval/internal/nodectl"
)

// happening is an event as --json prints it.
type happening struct {
	PID     int    `json:"pid"`
	Program string `json:"program"`
	nodectl.Event
}

func (a *App) monitorCommand() *cobra.Command {
	var service string
	cmd := &cobra.Command{
		Use:   "monitor",
		Short: "Print what happens to connections as it happens, until interrupted",
		Long: `monitor prints a line whenever a flow of any process on this host joins a connection,
comes up, is suspected, goes down or moves, and when a connection resumes or closes.
Processes that start meanwhile are watched as well.`,
		Example: `  servald monitor
  servald monitor --service svc:web --json | jq -c 'select(.kind == "migrated")'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			only, err := serviceFilter(service)
			if err != nil {
				return err
			}
			m := &monitor{app: a, only: only, watched: make(map[string]bool), noted: make(map[string]bool)}
			m.run(cmd.Context())
			return nil
		},
	}
	serviceFlag(a, cmd, &service)
	return cmd
}

// lookEvery is how often processes that are new are looked for.
const lookEvery = time.Second

// monitor prints the events of all processes.
type monitor struct {
	app  *App
	only nodectl.Selection
	wg   sync.WaitGroup

	mu      sync.Mutex
	watched map[string]bool // paths of sockets
	noted   map[string]bool // errors
}

func (m *monitor) run(ctx context.Context) {
	defer m.wg.Wait()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for first := true; ; first = false {
		all, err := m.app.nodes(ctx)
		if err != nil && ctx.Err() == nil {
			m.noteOnce(err)
		}
		ready := make(chan struct{}, len(all))
		begun := 0
		for _, c := range all {
			begun += m.watch(ctx, c, ready)
		}
		if first {
			m.await(ctx, ready, begun)
			m.app.note("watching %s", count(len(all), "process", "processes"))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// await returns when n have begun to be watched, or do not answer.
func (m *monitor) await(ctx context.Context, ready <-chan struct{}, n int) {
	late := time.After(askTimeout)
	for range n {
		select {
		case <-ready:
		case <-late:
			return
		case <-ctx.Done():
			return
		}
	}
}

// watch prints what happens in a process, and returns 1, unless it does already. ready
// gets something once nothing is missed, or it has failed.
func (m *monitor) watch(ctx context.Context, c *nodectl.Client, ready chan<- struct{}) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.watched[c.Path()] {
		return 0
	}
	m.watched[c.Path()] = true
	begun := sync.OnceFunc(func() { ready <- struct{}{} })
	m.wg.Go(func() {
		defer begun()
		err := c.Events(ctx, begun, func(e nodectl.Event) { m.print(c, e) })
		if err != nil && err != io.EOF && ctx.Err() == nil { // io.EOF is the end of the process
			m.noteOnce(err)
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.watched, c.Path())
	})
	return 1
}

func (m *monitor) noteOnce(err error) {
	m.mu.Lock()
	known := m.noted[err.Error()]
	m.noted[err.Error()] = true
	m.mu.Unlock()
	if !known {
		m.app.note("%v", err)
	}
}

func (m *monitor) print(c *nodectl.Client, e nodectl.Event) {
	switch {
	case !m.only.MatchConn(e.Conn, e.Service):
	case m.app.json:
		m.app.printJSON(happening{c.PID, c.Program, e})
	default:
		m.app.print("%s", eventLine(c.Info, e))
	}
}

// eventLine is the line about an event.
func eventLine(i nodectl.Info, e nodectl.Event) string {
	id := e.Conn
	if e.Flow != nil {
		id = fmt.Sprintf("%s/%d", e.Conn, *e.Flow)
	}
	s := fmt.Sprintf("%s  %-8s  %-11s  %s  %s", e.Time.Local().Format("15:04:05.000"), e.Kind, id, e.Service, process(i))
	switch {
	case e.From != "" && e.To != "":
		s += "  " + e.From + " -> " + e.To
	case e.From+e.To != "":
		s += "  " + e.From + e.To
	}
	if e.Detail != "" {
		s += "  " + e.Detail
	}
	return nodectl.Clean(s)
}
