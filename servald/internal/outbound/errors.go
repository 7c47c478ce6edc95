package outbound

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"syscall"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/serval"
	"github.com/serval-net/serval/servald/internal/fair"
)

// ErrDenied: a rule of this host does not let the client use the service.
var ErrDenied = errors.New("denied by a rule of this host")

func denied(name sal.Name) error { return fmt.Errorf("%v: %w", name, ErrDenied) }

// IsNoService reports whether there is no such service, or no such name.
func IsNoService(err error) bool {
	var name *sal.NameError
	var dns *net.DNSError
	return errors.Is(err, serval.ErrNoService) || errors.As(err, &dns) && dns.IsNotFound || errors.Is(err, resolver.ErrNoService) || errors.As(err, &name)
}

// IsRefused reports whether the instances declined, or a rule of this host did.
func IsRefused(err error) bool {
	return errors.Is(err, serval.ErrRefused) || errors.Is(err, serval.ErrNotAuthorized) ||
		errors.Is(err, resolver.ErrRefused) || errors.Is(err, syscall.ECONNREFUSED) || IsDenied(err)
}

// IsDenied reports whether a rule of this host was against it.
func IsDenied(err error) bool { return errors.Is(err, ErrDenied) }

// IsTimeout reports whether nobody answered in time.
func IsTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout() || errors.Is(err, serval.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

// IsBusy reports whether this host has too much to do for the client already.
func IsBusy(err error) bool { return errors.Is(err, fair.ErrTaken) }
