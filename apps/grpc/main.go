// Grpc is a greeter over serval: the stock grpc library, which is given a listener
// and a way to dial and needs to know nothing else.
//
//	grpc serve svc:greeter
//	grpc greet svc:greeter WHOM [TIMES [PAUSE]]
//
// In place of a service's name, tcp:HOST:PORT is over TCP, as programs do that know
// nothing of serval.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "grpc:", err)
		os.Exit(1)
	}
}

const usage = "usage: grpc serve NAME, or grpc greet NAME WHOM [TIMES [PAUSE]]"

func run(ctx context.Context, args []string) error {
	if len(args) < 2 {
		return errors.New(usage)
	}
	network, closeNetwork, err := over(args[1])
	if err != nil {
		return err
	}
	defer closeNetwork()
	name := strings.TrimPrefix(args[1], overTCP)
	switch {
	case len(args) == 2 && args[0] == "serve":
		ln, err := network.Listen(name)
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "greeting at %s\n", ln.Addr())
		return serve(ctx, ln)
	case len(args) >= 3 && len(args) <= 5 && args[0] == "greet":
		times, pause, err := howOften(args[3:])
		if err != nil {
			return err
		}
		return greet(ctx, network, name, args[2], times, pause, os.Stdout)
	}
	return errors.New(usage)
}

// howOften reads how many greetings are wanted, and the time between them.
func howOften(args []string) (times int, pause time.Duration, err error) {
	times = 1
	if len(args) > 0 {
		if times, err = strconv.Atoi(args[0]); err != nil || times < 1 {
			return 0, 0, fmt.Errorf("%q is not a number of greetings; %s", args[0], usage)
		}
	}
	if len(args) > 1 {
		if pause, err = time.ParseDuration(args[1]); err != nil {
			return 0, 0, fmt.Errorf("%q is not a time such as 100ms; %s", args[1], usage)
		}
	}
	return times, pause, nil
}

// greeter is the service. Its messages are well-known types and its description is
// written by hand, so that no code has to be generated.
type greeter interface {
	Greet(ctx context.Context, whom *wrapperspb.StringValue) (*wrapperspb.StringValue, error)
}

const greetMethod = "/serval.example.Greeter/Greet"

var description = grpc.ServiceDesc{
	ServiceName: "serval.example.Greeter",
	HandlerType: (*greeter)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "Greet",
		Handler: func(srv any, ctx context.Context, decode func(any) error, intercept grpc.UnaryServerInterceptor) (any, error) {
			whom := new(wrapperspb.StringValue)
			if err := decode(whom); err != nil {
				return nil, err
			}
			call := func(ctx context.Context, req any) (any, error) {
				return srv.(greeter).Greet(ctx, req.(*wrapperspb.StringValue))
			}
			if intercept == nil {
				return call(ctx, whom)
			}
			return intercept(ctx, whom, &grpc.UnaryServerInfo{Server: srv, FullMethod: greetMethod}, call)
		},
	}},
}

// polite greets, and tells the caller as which node it was seen.
type polite struct{ name string }

func (p polite) Greet(ctx context.Context, whom *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
	caller := "somebody"
	if from, ok := peer.FromContext(ctx); ok {
		caller = from.Addr.String()
	}
	return wrapperspb.String(fmt.Sprintf("Hello %s at %s, this is %s.", whom.GetValue(), caller, p.name)), nil
}

// serve greets on ln until ctx is done.
func serve(ctx context.Context, ln net.Listener) error {
	s := grpc.NewServer()
	s.RegisterService(&description, polite{ln.Addr().String()})
	stop := context.AfterFunc(ctx, s.GracefulStop)
	defer stop()
	return s.Serve(ln)
}

// greet asks an instance of the service for greetings, over one connection, and
// writes each in a line.
func greet(ctx context.Context, network network, service, whom string, times int, pause time.Duration, to io.Writer) error {
	// Serval encrypts and authenticates below grpc, which needs not do so again.
	conn, err := grpc.NewClient("passthrough:///"+service,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			return network.DialContext(ctx, "tcp", addr)
		}))
	if err != nil {
		return err
	}
	defer conn.Close()
	for i := range times {
		if i > 0 {
			select {
			case <-time.After(pause):
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		greeting, err := ask(ctx, conn, whom)
		if err != nil {
			return err
		}
		fmt.Fprintln(to, greeting)
	}
	return nil
}

func ask(ctx context.Context, conn *grpc.ClientConn, whom string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	answer := new(wrapperspb.StringValue)
	if err := conn.Invoke(ctx, greetMethod, wrapperspb.String(whom), answer); err != nil {
		return "", err
	}
	return answer.GetValue(), nil
}
