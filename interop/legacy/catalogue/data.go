//go:build linux

package catalogue

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/serval-net/serval/interop/legacy/stage"
)

// direct is how programs that know no proxy get there.
var direct = []stage.Way{stage.Forward, stage.Exec, stage.TUN, stage.Capture}

func startRedis(ctx context.Context, i *instance) error {
	return i.listening(ctx, "redis-server", "--bind", i.addr.String(), "--port", fmt.Sprint(i.port), "--save", "", "--dir", i.dir, "--protected-mode", "no")
}

var redisConnections = regexp.MustCompile(`total_connections_received:(\d+)`)

func redisHandled(ctx context.Context, i *instance) (int, error) {
	out, err := i.run(ctx, "redis-cli", "-h", i.addr.String(), "-p", fmt.Sprint(i.port), "info", "stats")
	if err != nil {
		return 0, err
	}
	m := redisConnections.FindStringSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("redis does not count:\n%s", out)
	}
	n, err := strconv.Atoi(m[1])
	return n - 1 - i.asked(), err // but those that asked for this
}

func startMemcached(ctx context.Context, i *instance) error {
	return i.listening(ctx, "memcached", "-l", i.addr.String(), "-p", fmt.Sprint(i.port), "-U", "0", "-u", "root", "-m", "16")
}

// asUser is a command for a program that does not run as root.
func asUser(user string, args ...string) ([]string, error) {
	path, err := stage.Find(args[0])
	if err != nil {
		return nil, err
	}
	args[0] = path
	return append([]string{"setpriv", "--reuid", user, "--regid", user, "--clear-groups"}, args...), nil
}

func startPostgres(ctx context.Context, i *instance) error {
	if _, err := i.run(ctx, "chown", "postgres", i.dir); err != nil {
		return err
	}
	data := filepath.Join(i.dir, "data")
	initdb, err := asUser("postgres", "initdb", "-D", data, "-U", "root", "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
	if err != nil {
		return err
	}
	if _, err := i.run(ctx, initdb...); err != nil {
		return err
	}
	server, err := asUser("postgres", "postgres", "-D", data, "-h", i.addr.String(), "-p", fmt.Sprint(i.port), "-k", i.dir,
		"-c", "fsync=off", "-c", "shared_buffers=8MB", "-c", "log_connections=on", "-c", "cluster_name="+i.name,
		"-c", "logging_collector=on", "-c", "log_directory="+i.dir, "-c", "log_filename=log")
	if err != nil {
		return err
	}
	return i.listening(ctx, server...)
}

func postgresHandled(_ context.Context, i *instance) (int, error) {
	return i.lines("log", "connection authorized")
}

func dataPrograms() []*Program {
	return []*Program{
		{
			Name: "redis-cli", Needs: []string{"redis-cli"}, Ways: direct, Quick: true, service: "svc:redis",
			works: func(ctx context.Context, c *call) error {
				out, err := c.redis(ctx, "-r", "5", "incr", "works")
				if err == nil && len(strings.Fields(out)) != 5 {
					err = fmt.Errorf("want five answers:\n%s", out)
				}
				return err
			},
			lasts: func(ctx context.Context, c *call, d time.Duration) error {
				n := int(d / (50 * time.Millisecond))
				out, err := c.redis(ctx, "-r", fmt.Sprint(n), "-i", "0.05", "incr", "lasts-"+filepath.Base(c.dir))
				if err == nil && !strings.HasSuffix(strings.TrimSpace(out), fmt.Sprint(n)) {
					err = fmt.Errorf("it did not count to %d: ... %.200s", n, out[max(0, len(out)-200):])
				}
				return err
			},
		},
		{
			Name: "redis-cli --pipe, a pipeline", Needs: []string{"redis-cli"}, Ways: direct, service: "svc:redis",
			works: func(ctx context.Context, c *call) error {
				return c.pipeline(ctx, "seq -f 'incr pipe' 2000")
			},
			lasts: func(ctx context.Context, c *call, d time.Duration) error {
				n := int(d / (100 * time.Millisecond))
				return c.pipeline(ctx, fmt.Sprintf("for i in $(seq %d); do seq -f 'incr pipe' 50; sleep 0.1; done", n))
			},
		},
		{
			Name: "redis-benchmark", Needs: []string{"redis-benchmark"}, Ways: direct, Quick: true, service: "svc:redis",
			works: func(ctx context.Context, c *call) error {
				return c.expect(ctx, []string{"SET: ", "GET: ", "requests per second"},
					"redis-benchmark", "-h", c.host, "-p", c.port, "-t", "set,get", "-n", "2000", "-c", "10", "-P", "16", "-q")
			},
		},
		{
			Name: "memcached (libmemcached-tools)", Needs: []string{"memccp", "memccat", "memcstat"}, Ways: direct, Quick: true, service: "svc:memcache",
			works: func(ctx context.Context, c *call) error {
				// Both may meet different instances; each says what it should.
				file := c.file("key")
				if err := os.WriteFile(file, []byte("value"), 0o644); err != nil {
					return err
				}
				servers := "--servers=" + c.at()
				return c.expect(ctx, []string{"value"}, "/bin/sh", "-c", "for i in 1 2 3 4 5 6 7 8 9; do memccp "+servers+" "+file+"; done; "+
					"for i in 1 2 3 4 5 6 7 8 9; do memccat "+servers+" key && exit 0; done; exit 1")
			},
		},
		{
			Name: "psql", Needs: []string{"psql"}, Ways: direct, Quick: true, service: "svc:db",
			works: func(ctx context.Context, c *call) error {
				return c.psql(ctx, "select 'sum', sum(i) from generate_series(1, 1000) i", "sum|500500")
			},
			lasts: func(ctx context.Context, c *call, d time.Duration) error {
				n := int(d / (100 * time.Millisecond))
				return c.psql(ctx, fmt.Sprintf("\\set FETCH_COUNT 1\nselect i, pg_sleep(0.1) from generate_series(1, %d) i", n), fmt.Sprintf("%d|", n))
			},
		},
		{
			Name: "psql, a query that is long silent", Needs: []string{"psql"}, Ways: direct, service: "svc:db",
			works: func(ctx context.Context, c *call) error {
				return c.psql(ctx, "select 'slept' from (select pg_sleep(1)) s", "slept")
			},
			lasts: func(ctx context.Context, c *call, d time.Duration) error {
				return c.psql(ctx, fmt.Sprintf("select 'slept' from (select pg_sleep(%f)) s", d.Seconds()), "slept")
			},
		},
		{
			Name: "pgbench", Needs: []string{"pgbench"}, Ways: direct, service: "svc:db",
			works: func(ctx context.Context, c *call) error { return c.pgbench(ctx, time.Second) },
			lasts: func(ctx context.Context, c *call, d time.Duration) error { return c.pgbench(ctx, d) },
		},
	}
}

func (c *call) redis(ctx context.Context, args ...string) (string, error) {
	return c.run(ctx, append([]string{"redis-cli", "-h", c.host, "-p", c.port}, args...)...)
}

// pipeline feeds what a shell command prints to redis-cli, which must get as many
// answers as there are lines.
func (c *call) pipeline(ctx context.Context, source string) error {
	out, err := c.run(ctx, "/bin/sh", "-c", "("+source+") | tee "+c.file("sent")+" | redis-cli -h "+c.host+" -p "+c.port+" --pipe --pipe-timeout 60")
	if err != nil {
		return err
	}
	sent, err := os.ReadFile(c.file("sent"))
	if err != nil {
		return err
	}
	return prints(out, fmt.Sprintf("errors: 0, replies: %d", strings.Count(string(sent), "\n")))
}

func (c *call) psql(ctx context.Context, query, want string) error {
	file := c.file("query.sql")
	if err := os.WriteFile(file, []byte(query+";\n"), 0o644); err != nil {
		return err
	}
	return c.expect(ctx, []string{want}, "psql", "-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h", c.host, "-p", c.port, "-U", "root", "-d", "postgres", "-f", file)
}

// pgbench asks from two connections for so long.
func (c *call) pgbench(ctx context.Context, d time.Duration) error {
	script := c.file("script.sql")
	if err := os.WriteFile(script, []byte("select 1;\n"), 0o644); err != nil {
		return err
	}
	return c.expect(ctx, []string{"number of failed transactions: 0 "}, "pgbench", "-h", c.host, "-p", c.port, "-U", "root", "-d", "postgres",
		"-n", "-f", script, "-c", "2", "-j", "1", "-R", "50", "-T", fmt.Sprintf("%.0f", max(d.Seconds(), 1)))
}
