package identity

import (
	"testing"
	"time"

	"github.com/serval-net/serval/pkg/sal"
)

func TestRequest(t *testing.T) {
	now := time.Now()
	root := NewRoot()
	tok, err := root.Grant(Grant{Rights: Rights{Serve: []string{"web"}}}, now)
	if err != nil {
		t.Fatal(err)
	}
	var asked [][]byte
	id, err := Request(Member{Name: "app"}, now, func(req []byte) ([]byte, error) {
		asked = append(asked, req)
		return tok.Certify(req, now)
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := root.Cluster().Verify(id.Chain(), now)
	if err != nil {
		t.Fatal(err)
	}
	if p.Name != "app" || !p.MayServe(sal.MustParseName("svc:web")) || p.MayServe(sal.MustParseName("svc:db")) {
		t.Errorf("the membership does not follow the token: %+v", p)
	}
	if len(asked) != 2 {
		t.Errorf("%d requests, want 2", len(asked))
	}

	// Any altered byte of the request is refused.
	for i := range asked[1] {
		bad := append([]byte(nil), asked[1]...)
		bad[i] ^= 1
		if _, err := tok.Certify(bad, now); err == nil {
			t.Errorf("a request altered at byte %d was signed", i)
		}
	}
	if _, err := tok.Certify(nil, tok.Expires().Add(time.Hour)); err == nil {
		t.Error("an expired token certifies")
	}
	if _, err := Request(Member{}, now, func([]byte) ([]byte, error) { return []byte("short"), nil }); err == nil {
		t.Error("terms of the wrong length were accepted")
	}
}
