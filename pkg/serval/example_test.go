package serval_test

import (
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/serval-net/serval/pkg/serval"
)

// A service is a listener with a name. Everything that serves on a net.Listener
// serves on it.
func ExampleListen() {
	l, err := serval.Listen("svc:hello")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()
	go http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "Hello from", r.Host)
	}))

	client := &http.Client{Transport: &http.Transport{DialContext: serval.DialContext}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://hello.svc.serval/")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	io.Copy(os.Stdout, resp.Body)
	// Output: Hello from hello.svc.serval
}

// Dialling needs a name and nothing else: no host, no port, no configuration.
func ExampleDial() {
	l, err := serval.Listen("svc:greeter")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		fmt.Fprint(c, "Hello!")
		c.Close()
	}()

	c, err := serval.Dial("svc:greeter")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	greeting, err := io.ReadAll(c)
	fmt.Println(string(greeting), err)
	// Output: Hello! <nil>
}
