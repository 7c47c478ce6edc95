package serval_test

import (
	"context"
	"fmt"

	"github.com/serval-net/serval/pkg/serval"
)

// A datagram needs the name of a service. Which instance gets it is decided when
// it leaves, and the answer's address is that instance.
func ExamplePacketConn() {
	clock, err := serval.ListenPacket("svc:clock")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer clock.Close()
	go func() {
		buf := make([]byte, serval.SafeDatagram)
		for {
			n, from, err := clock.ReadFrom(buf)
			if err != nil {
				return
			}
			clock.WriteTo(append(buf[:n], " It is noon."...), from)
		}
	}()

	pc, err := serval.DialPacket() // serves nothing itself
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pc.Close()
	buf := make([]byte, serval.SafeDatagram)
	if _, err := pc.WriteTo([]byte("What time is it?"), &serval.Addr{Service: "svc:clock"}); err != nil {
		fmt.Println(err)
		return
	}
	n, from, err := pc.ReadFrom(buf)
	fmt.Println(string(buf[:n]), from.(*serval.Addr).Service, err)

	all, err := pc.WriteAll(context.Background(), "svc:clock", []byte("Thanks."))
	fmt.Println("to", all, "instance:", err)
	// Output:
	// What time is it? It is noon. svc:clock <nil>
	// to 1 instance: <nil>
}
