package serval_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/serval"
)

// An instance may say how much of the work it wants, and how busy it is.
func ExampleListenConfig() {
	busy := func() float64 { return 0.3 }
	lc := serval.ListenConfig{Weight: 2, Balance: resolver.BalanceLeastLoad, Load: busy}
	l, err := lc.Listen(context.Background(), "svc:shop/cart")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()
	// Later, while connections go on:
	err = l.Update(context.Background(), func(lc *serval.ListenConfig) { lc.Weight = 5 })
	fmt.Println(l.Config().Weight, err)
	// Output: 5 <nil>
}

// To stop a web server so that no request fails, drain its listener before the
// server: a server that was told to shut down drops requests that it has not read
// yet.
func ExampleListener_Drain() {
	l, err := serval.Listen("svc:web")
	if err != nil {
		fmt.Println(err)
		return
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "Hello!")
	})}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()

	// When it is told to stop:
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	srv.SetKeepAlivesEnabled(false) // ends connections after their request
	if err := l.Drain(ctx, nil); err != nil {
		fmt.Println(err)
	}
	srv.Shutdown(ctx)
	fmt.Println(<-served)
	// Output: http: Server closed
}
