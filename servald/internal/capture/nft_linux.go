package capture

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"
)

// nftTimeout bounds a call of nft.
const nftTimeout = 10 * time.Second

// nft runs commands, and returns what it prints.
func nft(ctx context.Context, commands string, args ...string) (string, error) {
	path, err := findNFT()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, nftTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Stdin = strings.NewReader(commands)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", explain(errs.String(), err)
	}
	return out.String(), nil
}

func findNFT() (string, error) {
	for _, name := range []string{"nft", "/usr/sbin/nft", "/sbin/nft"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("capture: the program nft is not there; install nftables")
}

// explain says what nft's complaint means.
func explain(said string, err error) error {
	said = strings.TrimSpace(said)
	switch {
	case strings.Contains(said, "Operation not permitted"):
		return fmt.Errorf("capture: rules for packets need root or CAP_NET_ADMIN (%s)", firstLine(said))
	case said == "":
		return fmt.Errorf("capture: nft: %w", err)
	}
	return fmt.Errorf("capture: nft: %s", firstLine(said))
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// holder is a process of nft that owns a table: the kernel removes the table with it,
// and it ends with us, since its standard input does.
type holder struct {
	cmd   *exec.Cmd
	stdin io.Closer
	done  chan struct{}
}

// hold makes a table, and returns what holds it.
func hold(ctx context.Context, t table, rules string) (*holder, error) {
	path, err := findNFT()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(path, "-i")
	cmd.Env = append(os.Environ(), "HOME=/dev/null") // it would write down what it is told
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	said := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	h := &holder{cmd: cmd, stdin: stdin, done: make(chan struct{})}
	go func() {
		defer close(h.done)
		cmd.Wait()
	}()
	io.WriteString(stdin, rules) // if it is gone already that shows below
	for end := time.Now().Add(nftTimeout / 2); time.Now().Before(end); {
		if exists(ctx, t) {
			return h, nil
		}
		select {
		case <-h.done:
			return nil, explain(said.String(), errors.New("it ended"))
		case <-ctx.Done():
			h.close()
			return nil, ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	h.close()
	return nil, explain(said.String(), errors.New("it does not make the table"))
}

// exists reports whether a table is there.
func exists(ctx context.Context, t table) bool {
	_, err := nft(ctx, "", "list", "table", "inet", t.String())
	return err == nil
}

// close removes the table.
func (h *holder) close() {
	h.stdin.Close()
	select {
	case <-h.done:
	case <-time.After(nftTimeout):
		h.cmd.Process.Kill()
		<-h.done
	}
}

// install makes a table of rules. gone is closed should it vanish by itself; it is nil
// if that cannot be seen.
func install(ctx context.Context, t table, rules func(owned bool) string) (gone <-chan struct{}, remove func() error, err error) {
	// What is wrong with the rules, or with us, shows without owning.
	if _, err := nft(ctx, rules(false), "-c", "-f", "-"); err != nil {
		return nil, nil, err
	}
	if h, err := hold(ctx, t, rules(true)); err == nil {
		return h.done, func() error { h.close(); return nil }, nil
	}
	// A kernel or a nft that knows no owners.
	if _, err := nft(ctx, rules(false), "-f", "-"); err != nil {
		return nil, nil, err
	}
	return nil, func() error {
		_, err := nft(context.Background(), "", "delete", "table", "inet", t.String())
		return err
	}, nil
}
