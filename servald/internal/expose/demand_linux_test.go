package expose

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"
	"testing"
)

// TestServerEndsWithUs: a server on demand does not outlive this process, even if that
// is killed.
func TestServerEndsWithUs(t *testing.T) {
	c, notes := onDemand(t, "tcp")
	parent := exec.Command(c.Command[0])
	parent.Env = append(os.Environ(), fmt.Sprintf("%s=parent,%s,%s", actAs, c.To, notes))
	ready, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	defer parent.Wait()
	if n, err := ready.Read(make([]byte, 10)); n == 0 {
		t.Fatalf("the server does not run: %v; it noted %q", err, lines(notes))
	}
	conn, err := net.Dial("tcp", c.To)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	parent.Process.Kill()
	eventually(t, "the server has ended", func() bool { return slices.Contains(lines(notes), "ended") })
}
