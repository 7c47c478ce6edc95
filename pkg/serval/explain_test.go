package serval

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/serval-net/serval/internal/nodectl"
	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/sal"
	"github.com/serval-net/serval/pkg/servicetable"
)

func explain(t *testing.T, n *Node, q nodectl.Question) nodectl.Explanation {
	t.Helper()
	e, err := steered{n}.Explain(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// hasStep reports whether a step has a text.
func hasStep(e nodectl.Explanation, step, text string) bool {
	for _, s := range e.Steps {
		if s.Step == step && strings.Contains(s.Text, text) {
			return true
		}
	}
	return false
}

func TestExplain(t *testing.T) {
	c := newCluster(t)
	known := &book{flat: true}
	n := startNode(t, Config{Identity: c.join(t, "client"), Resolver: known})
	at := netip.MustParseAddrPort
	q := nodectl.Question{Service: "web"}

	e := explain(t, n, q)
	if e.Outcome != nodectl.NoService || e.Service != "svc:web" || !hasStep(e, nodectl.StepPermission, "allows") || !hasStep(e, nodectl.StepRule, "no rule") {
		t.Errorf("nobody is known: %+v", e)
	}

	s := &starter{start: func(string) ([]netip.AddrPort, error) { return nil, errors.New("no room") }}
	hook := addRule(t, n, s.rule("*"))
	if e := explain(t, n, q); e.Outcome != nodectl.WouldRun || !hasStep(e, nodectl.StepHook, "runs the hook") || s.runs.Load() != 0 {
		t.Errorf("a hook would run: %+v; it ran %d times", e, s.runs.Load())
	}
	if _, err := n.Dial("svc:web"); err == nil || !strings.Contains(err.Error(), "no room") {
		t.Errorf("the hook fails: %v", err)
	}
	eventually(t, "the hook is known to have failed", func() bool { // the dial hears of it first
		e = explain(t, n, q)
		return e.Outcome == nodectl.NoService && hasStep(e, nodectl.StepHook, "no room")
	})
	n.RemoveRule(hook)

	web, addr := serveName(t, c, "svc:web")
	known.add("svc:web", at("127.0.0.1:1")) // nobody is there
	known.list[0].Weight, known.list[0].Node = 60000, identity.NodeID{7}
	addRule(t, n, Rule{Service: "svc:web", Action: servicetable.Forward, Next: []netip.AddrPort{addr}, Weight: 2})
	e = explain(t, n, nodectl.Question{Service: "svc:web", Key: "k", Balance: "hash"})
	if e.Outcome != nodectl.WouldDial || len(e.Candidates) != 2 || !e.Candidates[0].Rule || e.Candidates[0].Addrs[0] != addr ||
		!hasStep(e, nodectl.StepPolicy, "hash, as the dialler wishes") || !hasStep(e, nodectl.StepRule, "FORWARD to "+addr.String()) ||
		!hasStep(e, nodectl.StepOutcome, addr.String()+" first") || strings.HasSuffix(e.ServiceID, "0000000000000000") {
		t.Errorf("a rule and a registration: %+v", e)
	}

	web.Listeners()[0].Suspend(context.Background()) // it refuses
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if _, err := n.DialConn(ctx, "", "svc:web"); err == nil {
		t.Error("a dial succeeds")
	}
	e = explain(t, n, q)
	if len(e.Refusals) == 0 || e.Refusals[0].Why == "" || e.Refusals[0].Service != "svc:web" {
		t.Errorf("refusals: %+v", e.Refusals)
	}

	addRule(t, n, Rule{Service: "svc:web", Action: servicetable.Drop, Priority: 1})
	if e := explain(t, n, q); e.Outcome != nodectl.Refused || !hasStep(e, nodectl.StepRule, "DROP") {
		t.Errorf("dropped: %+v", e)
	}
	if e := explain(t, n, nodectl.Question{Service: "svc:shop/*"}); e.Outcome != nodectl.NoService || !hasStep(e, nodectl.StepOutcome, "only be served") {
		t.Errorf("a wildcard: %+v", e)
	}
}

func TestExplainPermission(t *testing.T) {
	tok, err := identity.NewRoot().Grant(identity.Grant{Rights: identity.Rights{Dial: []string{"shop/*"}}}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	n := startNode(t, Config{Identity: (&cluster{tok}).join(t, "client")})
	if e := explain(t, n, nodectl.Question{Service: "svc:web"}); e.Outcome != nodectl.Unauthorized || !hasStep(e, nodectl.StepPermission, "does not allow") {
		t.Errorf("%+v", e)
	}
}

func TestRefusalsAreBounded(t *testing.T) {
	var r refusals
	web, db := sal.MustParseName("svc:web"), sal.MustParseName("svc:db")
	for i := range 3 * maxRefusals {
		r.note([]sal.Name{web, db}[i%2], netip.AddrPort{}, errNodeClosed, time.Unix(int64(i), 0))
	}
	got := r.of(web)
	if len(got) != maxRefusals/2 || got[0].at.Unix() != 3*maxRefusals-2 {
		t.Errorf("%d refusals, the latest at %d", len(got), got[0].at.Unix())
	}
}

func TestSteeredServices(t *testing.T) {
	c := newCluster(t)
	known := &book{flat: true}
	n := startNode(t, Config{Identity: c.join(t, "server"), Resolver: known})
	client := startNode(t, Config{Identity: c.join(t, "client"), Resolver: known})
	l, err := n.Listen("svc:web")
	if err != nil {
		t.Fatal(err)
	}
	s := steered{n}
	weight, priority, hash := 5, -3, "hash"
	if changed, err := s.SetListeners(t.Context(), nodectl.Setting{Service: "svc:*", Weight: &weight, Priority: &priority, Balance: &hash}); changed != 1 || err != nil {
		t.Errorf("changed %d, %v", changed, err)
	}
	in, err := client.Resolve(t.Context(), l.name)
	if err != nil || len(in) != 1 || in[0].Weight != 5 || in[0].Priority != -3 || in[0].Balance.String() != "hash" {
		t.Errorf("others know %+v, %v", in, err)
	}
	conn, err := client.Dial("svc:web")
	if err != nil {
		t.Fatal(err)
	}
	if list := s.Listeners(); len(list) != 1 || list[0].Weight != 5 || list[0].Connections != 1 || list[0].Packets == 0 || list[0].Withdrawn {
		t.Errorf("listeners %+v", list)
	}
	list, total := s.Routes("svc:web", 10)
	if total != 1 || list[0].Origin != nodectl.ByListener || list[0].Action != nodectl.Demux || list[0].Packets == 0 {
		t.Errorf("routes %+v", list)
	}
	if list, total := s.Routes("svc:db", 10); total != 0 || len(list) != 0 {
		t.Errorf("routes of another: %+v", list)
	}
	addRule(t, n, Rule{Service: "*", Action: servicetable.Drop, Expires: time.Now().Add(time.Hour)})
	if list, total := s.Routes("", 1); total != 2 || len(list) != 1 || list[0].Service != "svc:*" || list[0].TTL == 0 || list[0].ID == 0 {
		t.Errorf("one of %d routes: %+v", total, list)
	}

	var left []int
	drained := make(chan error, 1)
	first := make(chan struct{}, 10)
	go func() {
		_, err := s.DrainService(t.Context(), nodectl.ServiceDrain{Service: "svc:web"}, func(n int) {
			left = append(left, n)
			first <- struct{}{}
		})
		drained <- err
	}()
	<-first
	if list := s.Listeners(); !list[0].Withdrawn {
		t.Errorf("draining: %+v", list)
	}
	if server, err := l.AcceptConn(); err == nil {
		server.Close()
	}
	conn.Close()
	if err := <-drained; err != nil || left[0] != 1 || left[len(left)-1] != 0 {
		t.Errorf("drained: %v, left %v", err, left)
	}
	if _, err := client.Resolve(t.Context(), l.name); err == nil {
		t.Error("others still know it")
	}
	if n, err := s.UndrainService(t.Context(), ""); n != 1 || err != nil {
		t.Errorf("undrained %d, %v", n, err)
	}
	if _, err := client.Resolve(t.Context(), l.name); err != nil {
		t.Error(err)
	}
	if _, err := s.DrainService(t.Context(), nodectl.ServiceDrain{Service: "svc:db"}, func(n int) {}); err != nil {
		t.Errorf("a drain of nothing: %v", err)
	}
}
