package traffic

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"sync"
	"time"

	"github.com/serval-net/serval/pkg/serval"
)

// Load is what a client does.
type Load struct {
	Where string // a service or a TCP address
	For   time.Duration
	Warm  time.Duration // before anything counts

	// Dials is how many connections to open per second, each for one request,
	// whether or not those before have been answered.
	Dials float64
	// Keep is how many clients keep their connection and ask again Pause after
	// an answer; 0 asks at once.
	Keep  int
	Pause time.Duration
	// Fresh is how many clients ask again at once, each time on a connection of
	// its own.
	Fresh int
}

// Result is what became of it.
type Result struct {
	Dialled  Requests // by Dials and Fresh: the time includes opening the connection
	Kept     Requests // by Keep
	Failures []Failure
	Answered map[string]int   // per instance
	Second   []map[string]int // the same for each second since the start
}

// Requests are those of one kind.
type Requests struct {
	Asked, Failed int
	Micros        []int // how long each took that was answered, in its order

	// Of Load.Dials, in µs since the start: when each of Micros was due, and each
	// that failed.
	Due, Lost []int
}

// During returns those of Load.Dials that were due in a part of the load. It knows
// nothing of who answered.
func (r *Requests) During(from, to time.Duration) (part Requests) {
	in := func(at int) bool { return at >= int(from.Microseconds()) && at < int(to.Microseconds()) }
	for i, at := range r.Due {
		if in(at) {
			part.Due, part.Micros = append(part.Due, at), append(part.Micros, r.Micros[i])
		}
	}
	for _, at := range r.Lost {
		if in(at) {
			part.Lost = append(part.Lost, at)
		}
	}
	part.Failed = len(part.Lost)
	part.Asked = len(part.Due) + part.Failed
	return part
}

// Failure is a request that was not answered.
type Failure struct {
	At       time.Duration // since the start, of the request
	Instance string        // where its connection led; empty if it was not opened
	Reused   bool          // the connection had served another before
	Why      string
}

const (
	// askTimeout is how long one request may take before it has failed.
	askTimeout  = 10 * time.Second
	maxFailures = 200 // that are described
)

// client asks, and counts.
type client struct {
	load  Load
	start time.Time

	mu  sync.Mutex
	out Result
}

// Ask puts the load that is described in JSON on a service, and prints the result.
// It prints "asking" when it begins.
func Ask(spec string) error {
	var l Load
	if err := json.Unmarshal([]byte(spec), &l); err != nil {
		return err
	}
	fmt.Println("asking")
	r := l.run(context.Background())
	return json.NewEncoder(os.Stdout).Encode(r)
}

func (l Load) run(ctx context.Context) *Result {
	ctx, cancel := context.WithTimeout(ctx, l.Warm+l.For)
	defer cancel()
	c := &client{load: l, start: time.Now()}
	c.out.Answered = make(map[string]int)
	var wg sync.WaitGroup
	if l.Dials > 0 {
		wg.Go(func() { c.dialAtRate(ctx, &wg) })
	}
	for range l.Keep {
		wg.Go(func() { c.keep(ctx, c.transport(false)) })
	}
	for range l.Fresh {
		wg.Go(func() { c.fresh(ctx) })
	}
	wg.Wait()
	return &c.out
}

// transport opens connections to the service; once means one for each request.
func (c *client) transport(once bool) *http.Transport {
	return &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, c.load.Where) },
		DisableKeepAlives: once,
	}
}

func dial(ctx context.Context, where string) (net.Conn, error) {
	if isService(where) {
		return serval.DialContext(untraced{ctx}, "tcp", where)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", where)
}

// untraced is a context without values: the trace of a request is not that of the
// requests that a dial makes, to servald.
type untraced struct{ context.Context }

func (untraced) Value(any) any { return nil }

// dialAtRate is an open loop: who answers late does not slow it down.
func (c *client) dialAtRate(ctx context.Context, wg *sync.WaitGroup) {
	t := c.transport(true)
	every := time.Duration(float64(time.Second) / c.load.Dials)
	for next := time.Now(); ctx.Err() == nil; next = next.Add(every) {
		if d := time.Until(next); d > 0 {
			time.Sleep(d)
		}
		due := next
		wg.Go(func() { c.ask(t, due, &c.out.Dialled) })
	}
}

func (c *client) keep(ctx context.Context, t *http.Transport) {
	defer t.CloseIdleConnections()
	for ctx.Err() == nil {
		c.ask(t, time.Now(), &c.out.Kept)
		if c.load.Pause > 0 {
			time.Sleep(c.load.Pause)
		}
	}
}

func (c *client) fresh(ctx context.Context) {
	t := c.transport(true)
	for ctx.Err() == nil {
		c.ask(t, time.Now(), &c.out.Dialled)
	}
}

// ask makes one request that was due at a time.
func (c *client) ask(t *http.Transport, due time.Time, r *Requests) {
	var f Failure
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(g httptrace.GotConnInfo) {
		f.Instance, f.Reused = g.Conn.RemoteAddr().String(), g.Reused
	}})
	instance, err := get(ctx, t)
	took := time.Since(due)
	if due.Before(c.start.Add(c.load.Warm)) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	r.Asked++
	steady := c.load.Dials > 0 && r == &c.out.Dialled
	at := int(due.Sub(c.start).Microseconds())
	if err != nil {
		r.Failed++
		if steady {
			r.Lost = append(r.Lost, at)
		}
		f.At, f.Why = due.Sub(c.start), err.Error()
		if len(c.out.Failures) < maxFailures {
			c.out.Failures = append(c.out.Failures, f)
		}
		return
	}
	r.Micros = append(r.Micros, int(took.Microseconds()))
	if steady {
		r.Due = append(r.Due, at)
	}
	c.out.Answered[instance]++
	for s := int(time.Since(c.start).Seconds()); len(c.out.Second) <= s; {
		c.out.Second = append(c.out.Second, make(map[string]int))
	}
	c.out.Second[len(c.out.Second)-1][instance]++
}

// get makes a request and returns who answered.
func get(ctx context.Context, t *http.Transport) (instance string, err error) {
	req, err := http.NewRequestWithContext(ctx, "GET", "http://service/", nil)
	if err != nil {
		return "", err
	}
	resp, err := t.RoundTrip(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	switch {
	case err != nil:
		return "", err
	case resp.StatusCode != http.StatusOK || string(b) != string(body):
		return "", fmt.Errorf("the answer is %s with %d bytes", resp.Status, len(b))
	}
	return resp.Header.Get(InstanceHeader), nil
}
