package serval_test

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/serval"
)

// The instances of a cache own parts of its keys. Who dials with a key reaches
// the owner, and needs no list of servers.
func ExampleDialKey() {
	half, _ := sal.ParseKeyPrefix("8/1") // keys whose hash starts with the bit 1
	other, _ := sal.ParseKeyPrefix("0/1")
	l, err := (&serval.ListenConfig{Keys: []sal.KeyPrefix{half, other}}).Listen(context.Background(), "svc:cache")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()
	go func() {
		if c, err := l.Accept(); err == nil {
			fmt.Fprint(c, "here it is")
			c.Close()
		}
	}()

	c, err := serval.DialKey("svc:cache", "user:42")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	answer, _ := io.ReadAll(c)
	fmt.Printf("%s\n", answer)
	// Output: here it is
}

// A client that prefers the less loaded instance, and stays with the one it had
// while that answers.
func ExampleDialer_sticky() {
	l, err := serval.Listen("svc:shop")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "welcome back") }))

	d := &serval.Dialer{Balance: resolver.BalanceLeastLoad, Sticky: true}
	client := &http.Client{Transport: &http.Transport{DialContext: d.DialContext, DisableKeepAlives: true}}
	for range 2 {
		resp, err := client.Get("http://shop.svc.serval/")
		if err != nil {
			fmt.Println(err)
			return
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Printf("%s\n", b)
	}
	// Output:
	// welcome back
	// welcome back
}
