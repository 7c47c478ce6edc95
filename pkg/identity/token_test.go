package identity

import (
	"strings"
	"testing"
	"time"
)

func TestTokenTruncated(t *testing.T) {
	text := mustGrant(t, NewRoot(), Grant{Seeds: []string{"a.example:1"}}).String()
	for n := 1; n < len(text); n++ {
		_, err := ParseToken(text[:n])
		wantErr(t, err, ErrTruncated, "copy all of it")
	}
}

func TestTokenAltered(t *testing.T) {
	text := mustGrant(t, NewRoot(), Grant{}).String()
	for i := len(tokenArmor.prefix) + 4; i < len(text); i++ { // the first four characters are the length
		for _, c := range "Aa_?" {
			if rune(text[i]) == c {
				continue
			}
			_, err := ParseToken(text[:i] + string(c) + text[i+1:])
			wantErr(t, err, ErrAltered)
		}
	}
	_, err := ParseToken(text + "xyz")
	wantErr(t, err, ErrAltered, "remove")
}

// TestTokenWrapped: mail programs wrap long lines.
func TestTokenWrapped(t *testing.T) {
	token := mustGrant(t, NewRoot(), Grant{})
	text := token.String()
	got, err := ParseToken("  " + text[:40] + "\r\n\t" + text[40:90] + "\n" + text[90:] + "\n")
	if err != nil || got.String() != text {
		t.Errorf("wrapped token: %v", err)
	}
}

func TestTokenNotOne(t *testing.T) {
	root := NewRoot()
	for _, tt := range []struct{ text, says string }{
		{"", "starts with"},
		{"hello", "starts with"},
		{"serval2AAAA", "upgrade"},
		{strings.Repeat("x", 1<<20), "longer"},
		{rootArmor.encode(root.key.Seed()), "cluster root key"},
		{nodeArmor.encode(nil), "node key"},
	} {
		_, err := ParseToken(tt.text)
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("ParseToken(%.20q) error = %v, want one that says %q", tt.text, err, tt.says)
		}
	}
}

func TestTokenExpired(t *testing.T) {
	token, err := ParseToken(mustGrant(t, NewRoot(), Grant{Lifetime: time.Hour}).String())
	if err != nil {
		t.Fatal(err)
	}
	_, err = token.Join(Member{}, now.Add(2*time.Hour))
	wantErr(t, err, ErrExpired, "2026-03-01 13:00:00", "ask for a new one")
}

// TestTokenForged: a token whose parts do not belong together.
func TestTokenForged(t *testing.T) {
	a, b := mustGrant(t, NewRoot(), Grant{}), mustGrant(t, NewRoot(), Grant{})
	mixed := *a
	mixed.cert = b.cert
	_, err := ParseToken(mixed.String())
	wantErr(t, err, ErrWrongCluster)
	mixed = *a
	mixed.key = b.key
	_, err = ParseToken(mixed.String())
	wantErr(t, err, ErrForged)
}

func FuzzParseToken(f *testing.F) {
	text := mustGrant(f, NewRoot(), Grant{Rights: Rights{Serve: []string{"web", "shop/*"}}, Seeds: []string{"a.example:1"}}).String()
	f.Add(text)
	f.Add(text[:100])
	f.Add("serval1AAAA")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := ParseToken(text)
		if err != nil {
			return
		}
		if _, err := ParseToken(token.String()); err != nil {
			t.Fatalf("a parsed token does not parse again: %v", err)
		}
	})
}

// FuzzTokenBody reaches behind the checksum.
func FuzzTokenBody(f *testing.F) {
	body, err := tokenArmor.decode(mustGrant(f, NewRoot(), Grant{Seeds: []string{"a.example:1"}}).String())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) < maxArmorBody-16 {
			ParseToken(tokenArmor.encode(body))
		}
	})
}
