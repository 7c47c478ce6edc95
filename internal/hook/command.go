package hook

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"
)

// letGo is how long a command's children may keep its output open once it has
// ended. A server that a command leaves running should not have it.
const letGo = time.Second

// command runs the program. What it leaves running when it ends well stays; if
// ctx ends first, all that it has started is killed.
func (h Hook) command(ctx context.Context, c Call) (Answer, error) {
	run := exec.CommandContext(ctx, h.Command[0], h.Command[1:]...)
	run.Env = append(os.Environ(), "SERVAL_SERVICE="+c.Service, "SERVAL_SERVICE_ID="+c.ID, OffVariable+"=off")
	run.WaitDelay = letGo
	ownGroup(run)
	var out, errs head
	errs.tail = true
	run.Stdout, run.Stderr = &out, &errs
	err := run.Run()
	switch {
	case ctx.Err() != nil:
		return Answer{}, fmt.Errorf("the hook %q took too long and was ended: %w", h.Command[0], ctx.Err())
	case err != nil && !errors.Is(err, exec.ErrWaitDelay):
		if said := complaint(errs.b); said != "" {
			return Answer{}, fmt.Errorf("the hook %q failed: %w: %s", h.Command[0], err, said)
		}
		return Answer{}, fmt.Errorf("the hook %q failed: %w", h.Command[0], err)
	}
	return ParseAnswer(out.b)
}

// head keeps the first bytes that are written to it, or the last.
type head struct {
	b    []byte
	tail bool
}

func (h *head) Write(b []byte) (int, error) {
	n := len(b)
	if h.tail {
		h.b = append(h.b, b[max(0, n-MaxAnswer):]...)
		if extra := len(h.b) - MaxAnswer; extra > 0 {
			h.b = h.b[:copy(h.b, h.b[extra:])]
		}
		return n, nil
	}
	h.b = append(h.b, b[:min(n, MaxAnswer-len(h.b))]...)
	return n, nil
}
