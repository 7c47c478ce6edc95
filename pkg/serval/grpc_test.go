package serval

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// shouter is a gRPC service registered by hand: one call of each kind.
var shouter = grpc.ServiceDesc{
	ServiceName: "test.Shouter",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{
		MethodName: "Shout",
		Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			var in wrapperspb.StringValue
			if err := decode(&in); err != nil {
				return nil, err
			}
			if in.Value == "" {
				return nil, status.Error(codes.InvalidArgument, "nothing to shout")
			}
			return wrapperspb.String(in.Value + "!"), nil
		},
	}},
	Streams: []grpc.StreamDesc{{
		StreamName: "Repeat", ServerStreams: true, ClientStreams: true,
		Handler: func(_ any, s grpc.ServerStream) error {
			for {
				var in wrapperspb.BytesValue
				if err := s.RecvMsg(&in); errors.Is(err, io.EOF) {
					return nil
				} else if err != nil {
					return err
				}
				if err := s.SendMsg(&in); err != nil {
					return err
				}
			}
		},
	}},
}

// TestGRPC calls a gRPC service by its Serval name.
func TestGRPC(t *testing.T) {
	l := newLab(t)
	client, server := l.node(1), l.node(2)
	ln, err := server.Listen("svc:shop/cart")
	must(t, err)
	gs := grpc.NewServer()
	gs.RegisterService(&shouter, struct{}{})
	go gs.Serve(ln)
	defer gs.Stop()
	cc, err := grpc.NewClient("passthrough:///svc:shop/cart",
		grpc.WithTransportCredentials(insecure.NewCredentials()), // Serval encrypts
		grpc.WithContextDialer(func(ctx context.Context, name string) (net.Conn, error) {
			return client.DialContext(ctx, "tcp", name)
		}))
	must(t, err)
	defer cc.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()

	var out wrapperspb.StringValue
	must(t, cc.Invoke(ctx, "/test.Shouter/Shout", wrapperspb.String("hey"), &out))
	if out.Value != "hey!" {
		t.Errorf("got %q", out.Value)
	}
	if err := cc.Invoke(ctx, "/test.Shouter/Shout", &emptypb.Empty{}, &out); status.Code(err) != codes.InvalidArgument {
		t.Errorf("shouting nothing: %v", err)
	}
	s, err := cc.NewStream(ctx, &shouter.Streams[0], "/test.Shouter/Repeat")
	must(t, err)
	for range 20 {
		msg := wrapperspb.Bytes(noise(100_000))
		must(t, s.SendMsg(msg))
		var back wrapperspb.BytesValue
		must(t, s.RecvMsg(&back))
		if string(back.Value) != string(msg.Value) {
			t.Fatal("the stream returned something else")
		}
	}
	must(t, s.CloseSend())
	if err := s.RecvMsg(&out); !errors.Is(err, io.EOF) {
		t.Errorf("the stream ended with %v", err)
	}
}
