package cli

import (
	"context"
	"errors"
	"os"
	"os/exec"

	"github.com/serval-net/serval/pkg/resolver"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/serval"
	legacyexec "github.com/serval-net/serval/servald/internal/exec"
)

// Exit codes.
const (
	exitOK        = 0
	exitFailure   = 1
	exitUsage     = 2
	exitNoService = 3
	exitRefused   = 4
	exitTimeout   = 5
)

const exitHelp = `Exit codes: 0 done, 1 failed, 2 wrong usage, 3 no such service,
4 refused or not authorised, 5 timed out.`

// usageError is a mistake on the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// exitCode says how the process ends after err.
func exitCode(err error) int {
	var usage usageError
	var name *sal.NameError
	var program *legacyexec.Error
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &program):
		return program.Code
	case errors.As(err, &usage), errors.As(err, &name), errors.Is(err, exec.ErrNotFound):
		return exitUsage
	case errors.Is(err, serval.ErrNoService), errors.Is(err, resolver.ErrNoService):
		return exitNoService
	case errors.Is(err, serval.ErrRefused), errors.Is(err, serval.ErrNotAuthorized), errors.Is(err, resolver.ErrRefused):
		return exitRefused
	case errors.Is(err, serval.ErrTimeout), errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return exitTimeout
	}
	return exitFailure
}
