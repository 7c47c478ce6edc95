//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/serval-net/serval/interop/internal/fleet"
	"github.com/serval-net/serval/interop/services/traffic"
)

const (
	webServers = 3
	webClients = 32
)

// keptRequests asks for short answers on connections that are kept.
func (b plan) keptRequests(ctx context.Context, system string) (map[string]float64, error) {
	r, err := b.requests(ctx, system, traffic.Load{Keep: webClients})
	if err != nil {
		return nil, err
	}
	return b.figures("http-lb", &r.Kept)
}

// freshRequests asks for short answers, each on a connection of its own.
func (b plan) freshRequests(ctx context.Context, system string) (map[string]float64, error) {
	r, err := b.requests(ctx, system, traffic.Load{Fresh: webClients})
	if err != nil {
		return nil, err
	}
	return b.figures("http-lb-fresh", &r.Dialled)
}

func (b plan) figures(name string, r *traffic.Requests) (map[string]float64, error) {
	if r.Failed > 0 {
		return nil, fmt.Errorf("%d of %d requests failed", r.Failed, r.Asked)
	}
	p50, err := quantile(r.Micros, 0.5)
	if err != nil {
		return nil, err
	}
	p99, err := quantile(r.Micros, 0.99)
	return map[string]float64{
		name + "-rps": float64(len(r.Micros)) / b.web.Seconds(), name + "-p50-us": p50, name + "-p99-us": p99,
	}, err
}

// requests puts a load on a system with its replicas.
func (b plan) requests(ctx context.Context, system string, l traffic.Load) (*traffic.Result, error) {
	l.Warm, l.For = time.Second, b.web
	if system == "serval" {
		s, err := newSite(ctx, webServers)
		if err != nil {
			return nil, err
		}
		defer s.Close()
		l.Where = service
		a, err := s.ask(ctx, l)
		if err != nil {
			return nil, err
		}
		return a.result()
	}
	return throughProxy(ctx, system, l)
}

// throughProxy asks replicas that listen on TCP through a load balancer.
func throughProxy(ctx context.Context, system string, l traffic.Load) (*traffic.Result, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	dir, err := os.MkdirTemp("", "web")
	if err != nil {
		cancel()
		return nil, err
	}
	var all []*fleet.Process
	defer func() {
		cancel()
		for _, p := range all {
			<-p.Done()
		}
		os.RemoveAll(dir)
	}()
	var servers []string
	for i := range webServers {
		at, err := fleet.FreePort("127.0.0.1")
		if err != nil {
			return nil, err
		}
		p, err := fleet.Start(ctx, fmt.Sprint("replica ", i), nil, self, "replica", at)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
		if _, err := p.Expect(ctx, "^ready"); err != nil {
			return nil, err
		}
		servers = append(servers, at)
	}
	l.Where = servers[0]
	if system != "tcp" {
		if l.Where, err = fleet.FreePort("127.0.0.1"); err != nil {
			return nil, err
		}
		args, err := proxy(system, dir, l.Where, servers)
		if err != nil {
			return nil, err
		}
		p, err := fleet.Start(ctx, system, nil, args...)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
		if err := fleet.Accepts(ctx, l.Where); err != nil {
			return nil, fmt.Errorf("%w\n%s", err, p.Tail())
		}
	}
	p, err := fleet.Start(ctx, "client", nil, self, "ask", spec(l))
	if err != nil {
		return nil, err
	}
	all = append(all, p)
	a, err := begun(ctx, p)
	if err != nil {
		return nil, err
	}
	return a.result()
}

// proxy writes a load balancer's configuration, tuned as for production: it keeps
// its connections to the servers. It returns the command.
func proxy(system, dir, at string, servers []string) ([]string, error) {
	program, err := fleet.Find(system)
	if err != nil {
		return nil, fmt.Errorf("%s is not installed: run interop/setup.sh services, or leave it out with -systems", system)
	}
	file := filepath.Join(dir, system+".conf")
	var config string
	var args []string
	switch system {
	case "nginx":
		config = fmt.Sprintf(nginxConfig, dir, "server "+strings.Join(servers, ";\nserver ")+";", at)
		args = []string{program, "-p", dir, "-c", file}
	case "haproxy":
		for i, s := range servers {
			config += fmt.Sprintf("  server s%d %s\n", i, s)
		}
		config = fmt.Sprintf(haproxyConfig, at, config)
		args = []string{program, "-db", "-f", file}
	}
	return args, os.WriteFile(file, []byte(config), 0o644)
}

const nginxConfig = `
daemon off;
worker_processes 2;
pid %[1]s/nginx.pid;
error_log stderr warn;
events { worker_connections 4096; }
http {
  access_log off;
  keepalive_requests 1000000;
  client_body_temp_path %[1]s; proxy_temp_path %[1]s; fastcgi_temp_path %[1]s; uwsgi_temp_path %[1]s; scgi_temp_path %[1]s;
  upstream web { %[2]s
    keepalive 64; }
  server {
    listen %[3]s backlog=4096;
    location / { proxy_pass http://web; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }
}
`

const haproxyConfig = `
global
  nbthread 2
  maxconn 8192
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
  http-reuse always
frontend in
  bind %s
  default_backend web
backend web
  balance random
%s`
