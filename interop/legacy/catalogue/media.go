//go:build linux

package catalogue

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/serval-net/serval/interop/legacy/stage"
)

// byName is how programs get there that need the service's own port, or others.
var byName = []stage.Way{stage.Exec, stage.TUN, stage.Capture}

func startIperf(ctx context.Context, i *instance) error {
	// Its one client at a time is the one that measures: a probe would be one too.
	p, err := i.program("iperf3", "-s", "-B", i.addr.String(), "-p", fmt.Sprint(i.port), "--forceflush")
	if err != nil {
		return err
	}
	_, err = p.Expect(ctx, "Server listening")
	return err
}

func startNames(ctx context.Context, i *instance) error {
	return i.listening(ctx, "dnsmasq", "-k", "-C", "/dev/null", "--no-resolv", "--no-hosts", "--user=root", "--pid-file=", "--bind-interfaces",
		"--listen-address="+i.addr.String(), fmt.Sprintf("--port=%d", i.port), "--except-interface=none",
		"--address=/host.test/192.0.2.7", "--txt-record=who.test,"+i.name, "--txt-record=long.test,"+strings.Repeat("x", 250)+","+strings.Repeat("y", 250)+","+strings.Repeat("z", 250))
}

func startTFTP(_ context.Context, i *instance) error {
	// It chroots to the files, and answers each request from a new port.
	_, err := i.program("in.tftpd", "-L", "-a", i.at(), "-u", "root", "-s", i.seed.dir+"/www")
	return err
}

func startSIP(transport string) func(context.Context, *instance) error {
	return func(ctx context.Context, i *instance) error {
		// It draws a picture of what goes on, and leaves files where it is.
		_, err := i.program("sh", "-c", "cd "+i.dir+" && exec sipp -sn uas -t "+transport+" -i "+i.addr.String()+" -p "+fmt.Sprint(i.port)+" -nostdin >out 2>&1")
		if err == nil && transport != "u1" {
			err = i.accepts(ctx, nil)
		}
		return err
	}
}

func mediaPrograms() []*Program {
	iperf := func(name string, ways []stage.Way, quick bool, options ...string) *Program {
		run := func(ctx context.Context, c *call, d time.Duration, more ...string) error {
			args := append([]string{"iperf3", "-c", c.host, "-p", c.port, "-J", "-t", fmt.Sprintf("%.0f", max(d.Seconds(), 1)), "--connect-timeout", "5000"}, options...)
			return c.iperf(ctx, append(args, more...))
		}
		return &Program{
			Name: name, Needs: []string{"iperf3"}, Ways: ways, Quick: quick, service: "svc:iperf", udp: slices.Contains(options, "-u"),
			works: func(ctx context.Context, c *call) error { return run(ctx, c, time.Second) },
			lasts: func(ctx context.Context, c *call, d time.Duration) error { return run(ctx, c, d, "-b", "4M") },
		}
	}
	sip := func(name, service, transport string, ways []stage.Way) *Program {
		return &Program{
			Name: name, Needs: []string{"sipp"}, Ways: ways, service: service, udp: transport == "u1",
			works: func(ctx context.Context, c *call) error { return c.sip(ctx, transport, 20, time.Millisecond) },
			lasts: func(ctx context.Context, c *call, d time.Duration) error { return c.sip(ctx, transport, 5, d) },
		}
	}
	return []*Program{
		iperf("iperf3", direct, true),
		iperf("iperf3 -R", direct, false, "-R"),
		iperf("iperf3 -P 4, parallel", direct, false, "-P", "4"),
		iperf("iperf3 -u, UDP", direct, false, "-u"),
		{
			Name: "dig, UDP and TCP, to a name server as a service", Needs: []string{"dig"}, Ways: direct, Quick: true, service: "svc:ns",
			works: func(ctx context.Context, c *call) error {
				if err := c.expect(ctx, []string{"192.0.2.7"}, "dig", "+short", "+tries=1", "@"+c.host, "-p", c.port, "host.test"); err != nil {
					return err
				}
				// The answer is longer than a datagram may be without EDNS: it comes by TCP.
				return c.expect(ctx, []string{strings.Repeat("z", 250)}, "dig", "+short", "+noedns", "+tries=1", "@"+c.host, "-p", c.port, "long.test", "TXT")
			},
		},
		{
			Name: "tftp, answers from new ports", Needs: []string{"tftp"}, Ways: byName, service: "svc:tftp", udp: true,
			works: func(ctx context.Context, c *call) error { return c.tftp(ctx, "sub/0.js", "") },
			lasts: func(ctx context.Context, c *call, _ time.Duration) error {
				return c.tftp(ctx, "slow/file", c.seed.slow)
			},
		},
		sip("SIPp, UDP", "svc:sip", "u1", byName),
		sip("SIPp, TCP", "svc:sip-tcp", "t1", direct),
		{
			Name: "ping", Needs: []string{"ping"}, Ways: []stage.Way{stage.Exec, stage.TUN}, Quick: true, service: "svc:web",
			works: func(ctx context.Context, c *call) error {
				return c.expect(ctx, []string{" 0% packet loss"}, "ping", "-n", "-c", "3", "-i", "0.2", "-W", "2", c.host)
			},
		},
	}
}

// iperf runs iperf3, which must have carried something to its end.
func (c *call) iperf(ctx context.Context, args []string) error {
	out, err := c.run(ctx, args...)
	if err != nil {
		return err
	}
	var r struct {
		Error string
		End   struct {
			Received struct{ Bytes float64 } `json:"sum_received"`
			Sum      struct{ Bytes float64 }
		}
	}
	if err := json.Unmarshal([]byte(out[max(strings.IndexByte(out, '{'), 0):]), &r); err != nil {
		return fmt.Errorf("iperf3: %w:\n%.300s", err, out)
	}
	if r.Error != "" || r.End.Received.Bytes+r.End.Sum.Bytes == 0 {
		return fmt.Errorf("iperf3 carried %.0f bytes: %s", r.End.Received.Bytes+r.End.Sum.Bytes, r.Error)
	}
	return nil
}

func (c *call) tftp(ctx context.Context, name, want string) error {
	if want == "" {
		b, err := os.ReadFile(c.seed.dir + "/www/" + name)
		if err != nil {
			return err
		}
		want = string(b)
	}
	if _, err := c.run(ctx, "tftp", "-m", "binary", c.host, c.port, "-c", "get", name, c.file("got")); err != nil {
		return err
	}
	return c.same("got", want)
}

// sip makes calls, all of which must succeed.
func (c *call) sip(ctx context.Context, transport string, calls int, length time.Duration) error {
	out, err := c.run(ctx, "sh", "-c", fmt.Sprintf("cd %s && exec sipp -sn uac -t %s -m %d -r 20 -d %d -nostdin -trace_stat -stf stat %s >out 2>&1",
		c.dir, transport, calls, length.Milliseconds(), c.at()))
	if err != nil {
		screen, _ := os.ReadFile(c.file("out"))
		return fmt.Errorf("%w: %s\n%.1500s", err, out, screen[max(0, len(screen)-1500):])
	}
	return nil
}
