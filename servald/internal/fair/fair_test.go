package fair

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// TestShare: one client gets three quarters, the next one of the rest, and so on; there
// is always room for one more until the gate is nearly full.
func TestShare(t *testing.T) {
	g := New[string](1000)
	for _, tc := range []struct {
		client string
		want   int
	}{{"greedy", 750}, {"second", 188}, {"third", 47}, {"fourth", 12}} {
		got := 0
		for g.Try(tc.client) {
			got++
		}
		if got != tc.want {
			t.Errorf("%s got %d places, want %d", tc.client, got, tc.want)
		}
	}
	if g.Taken() != 997 || g.Clients() != 4 {
		t.Errorf("%d places are taken by %d clients", g.Taken(), g.Clients())
	}
	g.Leave("second")
	if !g.Try("fifth") {
		t.Error("there is no room for a fifth")
	}
}

// TestOne: a single place can be taken, and taken again.
func TestOne(t *testing.T) {
	g := New[int](0)
	for range 3 {
		if !g.Try(1) || g.Try(1) || g.Try(2) {
			t.Fatal("a gate of one place let in none or two")
		}
		g.Leave(1)
	}
	if g.Clients() != 0 || g.Taken() != 0 {
		t.Errorf("%d clients, %d places taken", g.Clients(), g.Taken())
	}
}

// TestTurns: who waits gets places in turn, however many a greedy one waits for.
func TestTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New[string](2)
		order := make(chan string, 100)
		wait := func(c string) {
			go func() {
				if err := g.Enter(t.Context(), c); err != nil {
					t.Error(err)
				}
				order <- c
			}()
			synctest.Wait()
		}
		g.Try("a")
		g.Try("b")
		for range 4 {
			wait("greedy")
		}
		wait("x")
		wait("y")
		holders := []string{"a", "b"}
		for _, want := range []string{"greedy", "x", "y", "greedy", "greedy", "greedy"} {
			g.Leave(holders[0])
			holders = holders[1:]
			synctest.Wait()
			if got := <-order; got != want {
				t.Fatalf("%s came in, want %s", got, want)
			}
			holders = append(holders, want)
		}
		for _, c := range holders {
			g.Leave(c)
		}
		if g.Clients() != 0 || g.Taken() != 0 || g.queued != 0 {
			t.Errorf("%d clients, %d places taken, %d wait", g.Clients(), g.Taken(), g.queued)
		}
	})
}

// TestGiveUp: who stops waiting leaves nothing behind, and the queue is bounded.
func TestGiveUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New[string](1)
		g.Try("holder")
		ctx, cancel := context.WithCancel(t.Context())
		results := make(chan error, 10)
		for _, c := range []string{"a", "b", "c", "a"} {
			go func() { results <- g.Enter(ctx, c) }()
			synctest.Wait()
		}
		if err := g.Enter(t.Context(), "d"); !errors.Is(err, ErrTaken) {
			t.Error(err)
		}
		cancel()
		for range 4 {
			if err := <-results; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
		if g.Clients() != 1 || g.queued != 0 || len(g.turn) != 0 {
			t.Errorf("%d clients, %d wait, turns %v", g.Clients(), g.queued, g.turn)
		}
		g.Leave("holder")
		if err := g.Enter(t.Context(), "next"); err != nil {
			t.Error(err)
		}
	})
}

// TestResize: more places are given at once, and fewer take none away.
func TestResize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New[string](1)
		g.Try("a")
		in := make(chan error, 1)
		go func() { in <- g.Enter(t.Context(), "b") }()
		synctest.Wait()
		g.Resize(3)
		if err := <-in; err != nil {
			t.Error(err)
		}
		g.Resize(1)
		if g.Taken() != 2 || g.Try("c") {
			t.Error("fewer places took one away, or let one in")
		}
	})
}
