//go:build linux

package catalogue

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/serval-net/serval/interop/legacy/stage"
)

const nginxConfig = `
daemon off;
master_process off;
pid %[1]s/pid;
error_log stderr warn;
events { worker_connections 512; }
http {
  access_log %[1]s/access.log;
  client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
  types { text/html html; text/css css; application/javascript js; image/svg+xml svg; }
  keepalive_requests 1000000;
  server {
    listen %[2]s;
    root %[3]s/www;
    location = /who { return 200 "%[4]s\n"; }
    location /slow/ { limit_rate %[5]d; limit_rate_after 1; }
    %[6]s
  }
}
`

func startWeb(ctx context.Context, i *instance) error { return startNginx(ctx, i, "", "") }

func startSecureWeb(ctx context.Context, i *instance) error {
	if _, err := i.run(ctx, "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
		"-keyout", i.dir+"/key.pem", "-out", i.dir+"/cert.pem", "-days", "2", "-subj", "/CN=h2.svc.serval"); err != nil {
		return err
	}
	return startNginx(ctx, i, " ssl http2", fmt.Sprintf("ssl_certificate %[1]s/cert.pem; ssl_certificate_key %[1]s/key.pem;", i.dir))
}

func startNginx(ctx context.Context, i *instance, listen, more string) error {
	file, err := i.write("nginx.conf", fmt.Sprintf(nginxConfig, i.dir, i.at()+listen, i.seed.dir, i.name, slowRate, more))
	if err != nil {
		return err
	}
	return i.listening(ctx, "nginx", "-p", i.dir, "-c", file)
}

func webHandled(_ context.Context, i *instance) (int, error) { return i.lines("access.log", "HTTP") }

// url is that of a path of the web service.
func (c *call) url(path string) string { return "http://" + c.at() + path }

// curl is the command with what the way needs.
func (c *call) curl(args ...string) []string {
	args = append([]string{"curl", "-sS", "--fail", "--max-time", "60"}, args...)
	if c.way == stage.Socks {
		args = append(args, "--socks5-hostname", c.socks)
	}
	return args
}

// wget is the command with what the way needs: wget knows only proxies for HTTP.
func (c *call) wget(args ...string) []string {
	args = append([]string{"wget", "-nv", "--tries=1", "--timeout=30"}, args...)
	if c.way == stage.Socks {
		return append(args, "-e", "use_proxy=on", "-e", "http_proxy=http://"+c.http)
	}
	return append(args, "--no-proxy")
}

func webPrograms() []*Program {
	curl := func(ctx context.Context, c *call, secure bool, path, want string) error {
		url, version, options := c.url(path), "HTTP/1.1", []string{"--http1.1"}
		if secure {
			url, version, options = "https://"+c.at()+path, "HTTP/2", []string{"--http2", "-k"}
		}
		options = append(options, "-o", c.file("got"), "-w", "HTTP/%{http_version}", url)
		if err := c.expect(ctx, []string{version}, c.curl(options...)...); err != nil {
			return err
		}
		return c.same("got", want)
	}
	return []*Program{
		{
			Name: "curl, HTTP/1.1", Needs: []string{"curl"}, Ways: stage.Ways, Quick: true, service: "svc:web",
			works: func(ctx context.Context, c *call) error { return curl(ctx, c, false, "/big", c.seed.big) },
			lasts: func(ctx context.Context, c *call, _ time.Duration) error {
				return curl(ctx, c, false, "/slow/file", c.seed.slow)
			},
		},
		{
			Name: "curl, h2 over TLS", Needs: []string{"curl"}, Ways: stage.Ways, service: "svc:h2",
			works: func(ctx context.Context, c *call) error { return curl(ctx, c, true, "/big", c.seed.big) },
			lasts: func(ctx context.Context, c *call, _ time.Duration) error {
				return curl(ctx, c, true, "/slow/file", c.seed.slow)
			},
		},
		{
			Name: "wget, a page with what it needs", Needs: []string{"wget"}, Ways: stage.Ways, Quick: true, service: "svc:web",
			works: func(ctx context.Context, c *call) error {
				if _, err := c.run(ctx, c.wget("-p", "-P", c.file("site"), c.url("/page.html"))...); err != nil {
					return err
				}
				found, err := filepath.Glob(c.file("site/*/sub/*"))
				if err == nil && len(found) != subs {
					err = fmt.Errorf("%d of %d sub-resources came", len(found), subs)
				}
				return err
			},
			lasts: func(ctx context.Context, c *call, _ time.Duration) error {
				if _, err := c.run(ctx, c.wget("-O", c.file("got"), c.url("/slow/file"))...); err != nil {
					return err
				}
				return c.same("got", c.seed.slow)
			},
		},
		{
			Name: "elinks", Needs: []string{"elinks"}, Ways: stage.Ways, service: "svc:web",
			works: func(ctx context.Context, c *call) error {
				args := []string{"elinks", "-no-home", "1", "-dump", c.url("/who")}
				if c.way == stage.Socks {
					args = append(args, "-eval", "set protocol.http.proxy.host = \""+c.http+"\"")
				}
				return c.expect(ctx, []string{"instance"}, args...)
			},
		},
		{
			Name: "chromium, a page with sub-resources", Needs: []string{"chromium"}, Ways: stage.Ways, service: "svc:web",
			works: func(ctx context.Context, c *call) error {
				third := strconv.Itoa(subs / 3)
				return c.browse(ctx, "/page.html", strings.Join([]string{"loaded", third, third, third}, " "))
			},
			lasts: func(ctx context.Context, c *call, _ time.Duration) error {
				return c.browse(ctx, "/slow.html", fmt.Sprint("got ", len(c.seed.slow)))
			},
		},
		{
			Name: "ab, connections kept", Needs: []string{"ab"}, Ways: stage.Ways, Quick: true, service: "svc:web",
			works: func(ctx context.Context, c *call) error {
				return c.ab(ctx, "-n", "200", "-c", "8")
			},
			lasts: func(ctx context.Context, c *call, d time.Duration) error {
				return c.ab(ctx, "-t", fmt.Sprint(d.Seconds()), "-n", "100000000", "-c", "2")
			},
		},
		{
			Name: "wrk", Needs: []string{"wrk"}, Ways: direct, service: "svc:web",
			works: func(ctx context.Context, c *call) error { return c.wrk(ctx, time.Second, 8) },
			lasts: func(ctx context.Context, c *call, d time.Duration) error { return c.wrk(ctx, d, 2) },
		},
		{
			Name: "websocket (python3-websockets)", Needs: []string{"/usr/bin/python3"}, Ways: direct, Quick: true, service: "svc:chat",
			works: func(ctx context.Context, c *call) error { return c.chat(ctx, 10, 0) },
			lasts: func(ctx context.Context, c *call, d time.Duration) error {
				return c.chat(ctx, int(d/(100*time.Millisecond)), 100*time.Millisecond)
			},
		},
		{
			Name: "gRPC client (grpc-go)", Ways: direct, service: "svc:greeter",
			works: func(ctx context.Context, c *call) error { return c.greet(ctx, 3, 0) },
			lasts: func(ctx context.Context, c *call, d time.Duration) error {
				return c.greet(ctx, int(d/(100*time.Millisecond)), 100*time.Millisecond)
			},
		},
	}
}

// browse loads a page in a browser, which must show what is wanted once all of it is
// there.
func (c *call) browse(ctx context.Context, path, want string) error {
	args := []string{"chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--user-data-dir=" + c.file("profile"), "--dump-dom"}
	if c.way == stage.Socks {
		args = append(args, "--proxy-server=socks5://"+c.socks)
	}
	return c.expect(ctx, []string{want}, append(args, c.url(path))...)
}

// ab runs ApacheBench, of which no request may fail.
func (c *call) ab(ctx context.Context, args ...string) error {
	args = append([]string{"ab", "-q", "-k"}, args...)
	if c.way == stage.Socks {
		args = append(args, "-X", c.http)
	}
	return c.expect(ctx, []string{"Failed requests:        0\n", "Complete requests:"}, append(args, c.url("/who"))...)
}

// wrk must see no error.
func (c *call) wrk(ctx context.Context, d time.Duration, conns int) error {
	out, err := c.run(ctx, "wrk", "-t1", fmt.Sprint("-c", conns), fmt.Sprintf("-d%.0fs", max(d.Seconds(), 1)), "--timeout", "20s", c.url("/who"))
	if err != nil {
		return err
	}
	if strings.Contains(out, "Socket errors") || strings.Contains(out, "Non-2xx") {
		return fmt.Errorf("wrk saw errors:\n%s", out)
	}
	return prints(out, "requests in")
}

const chatServer = `
import asyncio, sys, websockets
name, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
async def echo(ws):
    async for message in ws:
        await ws.send(name + " " + message)
async def main():
    async with websockets.serve(echo, host, port):
        await asyncio.Future()
asyncio.run(main())
`

const chatClient = `
import asyncio, sys, websockets
url, count, pause = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
async def main():
    names = set()
    async with websockets.connect(url) as ws:
        for i in range(count):
            await ws.send(str(i))
            name, n = (await ws.recv()).rsplit(" ", 1)
            assert n == str(i), n
            names.add(name)
            await asyncio.sleep(pause)
    print("exchanged", count, "with", len(names))
asyncio.run(main())
`

func startChat(ctx context.Context, i *instance) error {
	script, err := i.write("server.py", chatServer)
	if err != nil {
		return err
	}
	return i.listening(ctx, "/usr/bin/python3", script, i.name, i.addr.String(), fmt.Sprint(i.port))
}

// chat sends messages over a websocket, each of which must be answered.
func (c *call) chat(ctx context.Context, count int, pause time.Duration) error {
	if err := os.WriteFile(c.file("client.py"), []byte(chatClient), 0o644); err != nil {
		return err
	}
	return c.expect(ctx, []string{fmt.Sprintf("exchanged %d with 1", count)},
		"/usr/bin/python3", c.file("client.py"), "ws://"+c.at()+"/", fmt.Sprint(count), fmt.Sprint(pause.Seconds()))
}

// greeterProgram builds the gRPC example, once.
func greeterProgram(s *stage.Stage, sd *seed) (string, error) {
	program := filepath.Join(sd.dir, "grpc")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	return program, s.Fleet.Build(program, "github.com/serval-net/serval/apps/grpc")
}

func startGreeter(ctx context.Context, i *instance) error {
	program, err := greeterProgram(i.stage, i.seed)
	if err != nil {
		return err
	}
	return i.listening(ctx, program, "serve", "tcp:"+i.at())
}

// greet asks for greetings over one connection, which the server sees as one.
func (c *call) greet(ctx context.Context, count int, pause time.Duration) error {
	program, err := greeterProgram(c.stage, c.seed)
	if err != nil {
		return err
	}
	out, err := c.run(ctx, program, "greet", "tcp:"+c.at(), "world", fmt.Sprint(count), pause.String())
	if err != nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	for _, l := range lines {
		if !strings.HasPrefix(l, "Hello world at ") || l != lines[0] {
			return fmt.Errorf("%q after %q: not one connection", l, lines[0])
		}
	}
	if len(lines) != count {
		return fmt.Errorf("%d of %d greetings", len(lines), count)
	}
	return nil
}
