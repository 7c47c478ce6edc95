//go:build linux

package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/serval-net/serval/interop/plot"
	"github.com/serval-net/serval/pkg/serval"
)

const (
	cacheKeys = 80
	cacheRate = 400 // lookups per second
)

// lookedUp is what the client of the cache saw, per step.
type lookedUp struct {
	Asked, Failed int
	Hits, Misses  []int
	MissedAt      []float64 // seconds
	By            map[string][]int
	Why           []string
}

// lookups asks a cache for random keys at a steady rate, each on a connection that
// DialKey opens, and stores what it does not have.
func lookups(args []string) error {
	if len(args) != 2 {
		return errors.New("want: SERVICE DURATION")
	}
	length, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	n := int(length / step)
	r := &lookedUp{Hits: make([]int, n), Misses: make([]int, n), By: make(map[string][]int)}
	fmt.Println("begin")
	begin := time.Now()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := 0; ; i++ {
		due := begin.Add(time.Duration(i) * time.Second / cacheRate)
		if due.Sub(begin) >= length {
			break
		}
		time.Sleep(time.Until(due))
		wg.Go(func() {
			key := fmt.Sprintf("key-%d", rand.IntN(cacheKeys))
			hit, by, err := look(args[0], key)
			at := time.Since(begin)
			mu.Lock()
			defer mu.Unlock()
			slot := int(due.Sub(begin) / step)
			r.Asked++
			switch {
			case err != nil:
				r.Failed++
				if len(r.Why) < 20 {
					r.Why = append(r.Why, err.Error())
				}
				return
			case hit:
				r.Hits[slot]++
			default:
				r.Misses[slot]++
				r.MissedAt = append(r.MissedAt, at.Seconds())
			}
			if r.By[by] == nil {
				r.By[by] = make([]int, n)
			}
			r.By[by][slot]++
		})
	}
	wg.Wait()
	for _, w := range r.Why {
		fmt.Fprintln(os.Stderr, w)
	}
	return json.NewEncoder(os.Stdout).Encode(r)
}

// look gets a key from whoever owns it, in memcached's text protocol, and sets it if
// it is not there.
func look(service, key string) (hit bool, by string, err error) {
	c, err := serval.DialKey(service, key)
	if err != nil {
		return false, "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	by = c.RemoteAddr().String()
	in := bufio.NewReader(c)
	fmt.Fprintf(c, "get %s\r\n", key)
	line, err := in.ReadString('\n')
	if err != nil {
		return false, by, fmt.Errorf("get: %w", err)
	}
	if strings.HasPrefix(line, "VALUE ") {
		return true, by, nil
	}
	if line != "END\r\n" {
		return false, by, fmt.Errorf("memcached says %q", line)
	}
	value := "value of " + key
	fmt.Fprintf(c, "set %s 0 0 %d\r\n%s\r\n", key, len(value), value)
	if line, err = in.ReadString('\n'); err != nil || line != "STORED\r\n" {
		return false, by, errors.Join(err, fmt.Errorf("memcached does not store: %q", line))
	}
	return false, by, nil
}

// line makes a line of counts.
func (r *lookedUp) line(name string, color int, counts []int) plot.Line {
	l := plot.Line{Name: name, Color: color, Step: step.Seconds()}
	for _, n := range counts {
		l.Values = append(l.Values, float64(n)/step.Seconds())
	}
	return l
}

// shares makes a line for each instance.
func (r *lookedUp) shares() (lines []plot.Line) {
	for by, counts := range r.By {
		lines = append(lines, r.line(by, 0, counts))
	}
	slices.SortFunc(lines, func(a, b plot.Line) int { return cmp.Compare(a.Name, b.Name) })
	for i := range lines {
		lines[i].Name, lines[i].Color = fmt.Sprint("instance ", i+1), i
	}
	return lines
}

// lastMiss returns when the last miss of a span of time was, and how many there
// were.
func (r *lookedUp) lastMiss(from, to float64) (last float64, n int) {
	for _, at := range r.MissedAt {
		if at >= from && at < to {
			last, n = max(last, at), n+1
		}
	}
	return last, n
}
