// Grpc is a greeter over serval: the stock grpc library, which is given a listener
// and a way to dial and needs to know nothing else.
//
//	grpc serve svc:greeter
//	grpc greet svc:greeter NAME
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/serval-net/serval/pkg/serval"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "grpc:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	switch {
	case len(args) == 2 && args[0] == "serve":
	case len(args) == 3 && args[0] == "greet":
	default:
		return errors.New("usage: grpc serve NAME, or grpc greet NAME WHOM")
	}
	node, err := serval.Default()
	if err != nil {
		return err
	}
	defer node.Close()
	if args[0] == "serve" {
		ln, err := node.Listen(args[1])
		if err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "greeting at %s\n", ln.Addr())
		return serve(ctx, ln)
	}
	greeting, err := greet(ctx, node, args[1], args[2])
	if err == nil {
		fmt.Println(greeting)
	}
	return err
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

// greet asks an instance of the service for a greeting.
func greet(ctx context.Context, node *serval.Node, service, whom string) (string, error) {
	// Serval encrypts and authenticates below grpc, which needs not do so again.
	conn, err := grpc.NewClient("passthrough:///"+service,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, addr string) (net.Conn, error) {
			return node.DialContext(ctx, "tcp", addr)
		}))
	if err != nil {
		return "", err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	answer := new(wrapperspb.StringValue)
	if err := conn.Invoke(ctx, greetMethod, wrapperspb.String(whom), answer); err != nil {
		return "", err
	}
	return answer.GetValue(), nil
}
