package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/serval-net/serval/internal/nodectl"
	"github.com/serval-net/serval/pkg/resolver/control"
)

// askTimeout bounds what processes of this host are waited for that show something.
const askTimeout = 2 * time.Second

// connection is a connection of a process as --json prints it.
type connection struct {
	PID     int    `json:"pid"`
	Program string `json:"program"`
	Node    string `json:"node"` // of this end
	nodectl.Conn

	client *nodectl.Client
}

// process names a connection's process.
func process(i nodectl.Info) string { return fmt.Sprintf("%s[%d]", i.Program, i.PID) }

// nodeDirs are the directories with the control sockets of nodes: one that --socket or
// SERVAL_SOCKET leads to, else the user's and, for root, those of all users. Only the
// first own ones are this user's to write to.
func (a *App) nodeDirs() (dirs []string, own int) {
	if a.socket != "" {
		return []string{nodectl.Dir(a.socket)}, 1
	}
	dirs = []string{nodectl.Dir(control.SocketPath())}
	if os.Getenv("SERVAL_SOCKET") != "" || os.Geteuid() != 0 {
		return dirs, 1
	}
	for i, pattern := range []string{"/run/serval", "/run/user/*/serval", filepath.Join(os.TempDir(), "serval-*")} {
		found, _ := filepath.Glob(filepath.Join(pattern, "nodes"))
		for _, dir := range found {
			if !slices.Contains(dirs, dir) {
				dirs = append(dirs, dir)
			}
		}
		if i == 0 {
			own = len(dirs)
		}
	}
	return dirs, own
}

// nodes returns all processes of this host that use Serval and answer.
func (a *App) nodes(ctx context.Context) ([]*nodectl.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var all []*nodectl.Client
	var errs []error
	dirs, _ := a.nodeDirs()
	for _, dir := range dirs {
		found, err := nodectl.List(ctx, dir)
		all, errs = append(all, found...), append(errs, err)
	}
	slices.SortStableFunc(all, func(x, y *nodectl.Client) int { return cmp.Compare(x.PID, y.PID) })
	return all, errors.Join(errs...)
}

// anyNodes is nodes, and notes those that do not answer if others do.
func (a *App) anyNodes(ctx context.Context) ([]*nodectl.Client, error) {
	all, err := a.nodes(ctx)
	if len(all) > 0 {
		a.noteError(err)
		err = nil
	}
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return all, err
}

// someNodes is anyNodes where at least one is needed.
func (a *App) someNodes(ctx context.Context) ([]*nodectl.Client, error) {
	all, err := a.anyNodes(ctx)
	if err == nil && len(all) == 0 {
		dirs, _ := a.nodeDirs()
		err = fmt.Errorf("no process on this host uses Serval now (looked in %s)", strings.Join(dirs, ", "))
	}
	return all, err
}

func (a *App) noteError(err error) {
	if err != nil && !errors.Is(err, context.Canceled) {
		a.note("%v", err)
	}
}

// each runs f for all nodes at the same time and returns what went wrong.
func each(all []*nodectl.Client, f func(*nodectl.Client) error) error {
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	for i, c := range all {
		wg.Go(func() { errs[i] = f(c) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// addUp is each for what counts: the sum is of all, also if some failed.
func addUp(all []*nodectl.Client, f func(*nodectl.Client) (int, error)) (int, error) {
	var sum atomic.Int64
	err := each(all, func(c *nodectl.Client) error {
		n, err := f(c)
		sum.Add(int64(n))
		return err
	})
	return int(sum.Load()), err
}

// connections returns those of all nodes, sorted by service, process and ID.
func (a *App) connections(ctx context.Context, all []*nodectl.Client) ([]connection, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	var mu sync.Mutex
	var list []connection
	err := each(all, func(c *nodectl.Client) error {
		conns, err := c.Conns(ctx)
		mu.Lock()
		defer mu.Unlock()
		for _, conn := range conns {
			conn.Flows = append([]nodectl.Flow{}, conn.Flows...) // not null in JSON
			list = append(list, connection{c.PID, c.Program, c.Node, conn, c})
		}
		return err
	})
	slices.SortFunc(list, func(x, y connection) int {
		return cmp.Or(cmp.Compare(x.Service, y.Service), cmp.Compare(x.PID, y.PID), cmp.Compare(x.ID, y.ID))
	})
	return list, err
}

// find returns the connection whose ID is, or begins with, the text.
func (a *App) find(ctx context.Context, text string) (connection, error) {
	if err := nodectl.CheckID(text); err != nil {
		return connection{}, usageError{err}
	}
	all, err := a.someNodes(ctx)
	if err != nil {
		return connection{}, err
	}
	list, err := a.connections(ctx, all)
	a.noteError(err)
	var found []connection
	for _, c := range list {
		if c.ID == text {
			return c, nil
		}
		if strings.HasPrefix(c.ID, text) {
			found = append(found, c)
		}
	}
	switch len(found) {
	case 0:
		return connection{}, fmt.Errorf("there is no connection %s on this host; servald flows lists them", text)
	case 1:
		return found[0], nil
	}
	return connection{}, fmt.Errorf("%d connections begin with %s, such as %s and %s; write more of the ID", len(found), text, found[0].ID, found[1].ID)
}
