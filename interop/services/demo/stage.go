//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/serval-net/serval/interop/internal/command"
	"github.com/serval-net/serval/interop/internal/fleet"
	"github.com/serval-net/serval/interop/plot"
)

// stage is the cluster that a demonstration plays on, and what has happened there.
type stage struct {
	*fleet.Fleet
	self     string // this program
	client   *fleet.Host
	replicas []*replica

	begin time.Time
	marks []plot.Mark
}

// newStage starts a cluster of a client's host and so many others, on each of
// which run starts a server. None is behind a name yet.
func newStage(ctx context.Context, servers int, run func(s *stage, r *replica) error) (*stage, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	f, err := fleet.New(ctx)
	if err != nil {
		return nil, err
	}
	s := &stage{Fleet: f, self: self}
	if err := s.build(servers, run); err != nil {
		f.Close()
		return nil, err
	}
	return s, nil
}

func (s *stage) build(servers int, run func(s *stage, r *replica) error) (err error) {
	if s.client, err = s.Join("127.0.0.1"); err != nil {
		return err
	}
	for i := range servers {
		r := &replica{}
		if r.host, err = s.Join(fmt.Sprintf("127.0.0.%d", i+2)); err != nil {
			return err
		}
		if err := run(s, r); err != nil {
			return err
		}
		s.replicas = append(s.replicas, r)
	}
	return nil
}

// play begins the time that at counts.
func (s *stage) play() { s.begin = time.Now() }

// at waits until a time, says what happens then, and does it.
func (s *stage) at(ctx context.Context, t time.Duration, label string, do func() error) error {
	if err := command.Pause(ctx, time.Until(s.begin.Add(t))); err != nil {
		return err
	}
	fmt.Printf("%2.0f s: %s\n", t.Seconds(), label)
	s.marks = append(s.marks, plot.Mark{At: time.Since(s.begin).Seconds(), Label: label})
	return do()
}

// installed returns where a program is that the demonstration needs.
func installed(program string) (string, error) {
	path, err := fleet.Find(program)
	if err != nil {
		return "", fmt.Errorf("%s is not installed: run interop/setup.sh services", program)
	}
	return path, nil
}

// replica is a server that knows nothing of Serval, and the servald that puts it
// behind a name.
type replica struct {
	host    *fleet.Host
	addr    string
	program *fleet.Process
	serving *fleet.Process
}

func (r *replica) join(ctx context.Context, name string) (err error) {
	if r.serving, err = r.host.Start("serve", r.host.Fleet.Servald, "serve", name, "--to", r.addr); err == nil {
		_, err = r.serving.Expect(ctx, "serving")
	}
	return err
}

func (r *replica) leave() error { return r.serving.Stop() }

// joinAll puts several behind a name.
func joinAll(ctx context.Context, name string, replicas []*replica) error {
	for _, r := range replicas {
		if err := r.join(ctx, name); err != nil {
			return err
		}
	}
	return nil
}
