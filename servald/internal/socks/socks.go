// Package socks is a SOCKS5 proxy (RFC 1928 and 1929) whose destinations are services:
// CONNECT and UDP ASSOCIATE, by host name or virtual address, with passwords if wanted.
package socks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/serval-net/serval/servald/internal/door"
	"github.com/serval-net/serval/servald/internal/fair"
	"github.com/serval-net/serval/servald/internal/outbound"
	"github.com/serval-net/serval/servald/internal/splice"
)

// DefaultAssociations is how many clients may have UDP at once.
const DefaultAssociations = 1024

// Server is a SOCKS5 proxy. Set the fields before Serve.
type Server struct {
	door.ProxySettings

	// Associations is how many clients may have UDP at once; 0 is 1024. UDPIdle is how
	// long a destination is kept that nobody uses; 0 is 2 minutes.
	Associations int
	UDPIdle      time.Duration

	door door.Door
	udp  *fair.Gate[netip.Addr]
}

// Serve serves ln until ctx is done; see door.Door.Serve. It refuses to be an open
// proxy.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	if err := s.Prepare(ln); err != nil {
		return err
	}
	if s.Associations <= 0 {
		s.Associations = DefaultAssociations
	}
	s.udp = fair.New[netip.Addr](s.Associations)
	s.door.Via, s.door.Handle, s.door.Settings = "socks5", s.handle, s.Settings
	return s.door.Serve(ctx, ln)
}

// Active returns how many connections are open.
func (s *Server) Active() int { return s.door.Active() }

// handle serves one client.
func (s *Server) handle(ctx context.Context, c outbound.Client, conn net.Conn) error {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	conn.SetDeadline(time.Now().Add(s.Handshake))
	cmd, to, err := s.negotiate(&c, conn)
	if err != nil {
		door.HangUp(conn)
		if errors.Is(err, io.EOF) {
			return nil // it tried whether somebody is here
		}
		return err
	}
	switch cmd {
	case cmdConnect:
		var out net.Conn
		early := door.Await(ctx, conn, func(ctx context.Context) { out, err = s.Destinations.Stream(ctx, c, to.Host(), to.port) })
		conn.SetDeadline(time.Now().Add(s.Handshake))
		if err != nil {
			// Outbound has logged it.
			s.refuse(conn, replyTo(err))
			return nil
		}
		if err := begin(conn, early, out); err != nil {
			conn.Close()
			splice.Abort(out)
			return nil // one of them left
		}
		conn.SetDeadline(time.Time{})
		stop()
		_, _, err = splice.Join(ctx, conn, out)
		return named(to, err)
	case cmdAssociate:
		err := s.associate(ctx, c, conn, to)
		conn.Close()
		return err
	}
	s.refuse(conn, CommandUnknown)
	return fmt.Errorf("the client wants command %d, and this proxy knows CONNECT and UDP ASSOCIATE", cmd)
}

// begin tells the client that it is connected, and passes on what it has sent already.
func begin(conn net.Conn, early []byte, out net.Conn) error {
	if _, err := conn.Write(appendReply(nil, Succeeded, unspecified)); err != nil {
		return err
	}
	_, err := out.Write(early)
	return err
}

func named(to address, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%v: %w", to, err)
}

// unspecified is where a connection comes from that has no address.
var unspecified = address{addr: netip.IPv4Unspecified()}

// negotiate agrees on a method, lets the client prove who it is, and returns what it
// wants. The client has been told of errors where it would understand.
func (s *Server) negotiate(c *outbound.Client, conn net.Conn) (cmd byte, to address, err error) {
	methods, err := readGreeting(conn)
	switch {
	case errors.Is(err, errSOCKS4):
		conn.Write([]byte{0, 0x5b, 0, 0, 0, 0, 0, 0})
		return 0, to, err
	case errors.Is(err, errHTTP):
		io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nThis is a SOCKS5 proxy. Set your program to SOCKS5, or to an HTTP proxy: see servald http-proxy.\n")
		return 0, to, err
	case err != nil:
		return 0, to, err
	}
	want := byte(methodNone)
	if len(s.Users) > 0 {
		want = methodPassword
	}
	if !slices.Contains(methods, want) {
		conn.Write([]byte{version5, methodRefused})
		if want == methodPassword {
			return 0, to, errors.New("the client gave no password, and this proxy has users")
		}
		return 0, to, errors.New("the client insists on a password, and this proxy has no users")
	}
	if _, err := conn.Write([]byte{version5, want}); err != nil {
		return 0, to, err
	}
	if want == methodPassword {
		if err := s.authenticate(c, conn); err != nil {
			return 0, to, err
		}
	}
	cmd, to, err = readRequest(conn)
	switch {
	case errors.Is(err, errAddressType):
		s.refuse(conn, AddressUnknown)
	case errors.Is(err, errName):
		s.refuse(conn, HostUnreachable)
	}
	return cmd, to, err
}

// authenticate checks the client's name and password.
func (s *Server) authenticate(c *outbound.Client, conn net.Conn) error {
	user, password, err := readPassword(conn)
	if err != nil {
		return err
	}
	as, ok := s.Users.Login(*c, user, password)
	if !ok {
		conn.Write([]byte{versionAuth, 1})
		return fmt.Errorf("wrong name or password: %q", user)
	}
	*c = as
	_, err = conn.Write([]byte{versionAuth, 0})
	return err
}

// refuse tells the client how its request went, and closes the connection.
func (s *Server) refuse(conn net.Conn, code Reply) {
	conn.Write(appendReply(nil, code, unspecified))
	door.HangUp(conn)
}

// replyTo says which reply tells of an error.
func replyTo(err error) Reply {
	switch {
	case outbound.IsForeign(err), outbound.IsDenied(err):
		return NotAllowed
	case outbound.IsNoService(err):
		return HostUnreachable
	case outbound.IsRefused(err):
		return ConnectionRefused
	case outbound.IsTimeout(err):
		return TTLExpired
	case outbound.IsUnreachable(err):
		return NetworkUnreachable
	}
	return GeneralFailure
}
