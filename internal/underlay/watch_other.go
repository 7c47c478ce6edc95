//go:build !linux

package underlay

import "errors"

func subscribe(func()) (stop func(), err error) { return nil, errors.ErrUnsupported }
