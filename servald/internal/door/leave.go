package door

import (
	"context"
	"net"
	"time"
)

// Await runs f, such as a dial, while a client waits for it. The context of f is done
// when the client leaves. Await returns what the client has sent meanwhile, up to a few
// hundred bytes, which is taken off conn. Deadlines of conn are gone afterwards.
func Await(ctx context.Context, conn net.Conn, f func(context.Context)) (early []byte) {
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	conn.SetReadDeadline(time.Time{})
	buf := make([]byte, 512)
	n := 0
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		var err error
		// A client that writes on is there.
		if n, err = conn.Read(buf); n == 0 && err != nil {
			leave()
		}
	}()
	f(ctx)
	conn.SetReadDeadline(time.Now()) // ends the read
	<-watched
	conn.SetDeadline(time.Time{})
	return buf[:n]
}
