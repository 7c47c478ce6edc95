// Package printed keeps the lines that a program prints, for who waits for one of
// them.
package printed

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
)

// most is how many lines are kept of a program that prints without end.
const most = 10_000

// Lines is what a program has printed, up to a limit.
type Lines struct {
	name string // of the program

	mu   sync.Mutex
	all  []string
	news chan struct{} // closed and replaced when a line comes
}

// By returns the lines of the program with that name, none so far.
func By(name string) *Lines { return &Lines{name: name, news: make(chan struct{})} }

// Read takes lines to the end of what the program prints.
func (l *Lines) Read(r io.Reader) {
	scan := bufio.NewScanner(r)
	scan.Buffer(nil, 1<<20)
	for scan.Scan() {
		l.mu.Lock()
		if len(l.all) < most {
			l.all = append(l.all, scan.Text())
		}
		close(l.news)
		l.news = make(chan struct{})
		l.mu.Unlock()
	}
}

// Expect waits for a line that matches and returns the match of its last group.
// Done is closed after the last line.
func (l *Lines) Expect(ctx context.Context, pattern string, done <-chan struct{}) (string, error) {
	re := regexp.MustCompile(pattern)
	for from, ended := 0, false; ; {
		l.mu.Lock()
		lines, news := l.all[from:], l.news
		l.mu.Unlock()
		for _, line := range lines {
			if m := re.FindStringSubmatch(line); m != nil {
				return m[len(m)-1], nil
			}
		}
		from += len(lines)
		if ended {
			return "", fmt.Errorf("%s ended:\n%s", l.name, l.Tail())
		}
		select {
		case <-news:
		case <-done:
			ended = true // but lines may have come since
		case <-ctx.Done():
			return "", fmt.Errorf("%s did not print %q in time:\n%s", l.name, pattern, l.Tail())
		}
	}
}

// Tail is the end of what the program printed, indented.
func (l *Lines) Tail() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return "    " + strings.Join(l.all[max(0, len(l.all)-10):], "\n    ")
}

// Text is all that the program printed.
func (l *Lines) Text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.all, "\n")
}
