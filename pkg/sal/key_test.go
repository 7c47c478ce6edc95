package sal

import "testing"

func TestKeyPrefix(t *testing.T) {
	name := MustParseName("cache")
	for _, tc := range []struct {
		text string
		key  uint64
		in   bool
	}{
		{"/0", 1 << 63, true},
		{"8/1", 1 << 63, true},
		{"8/1", 1<<63 - 1, false},
		{"c/2", 3 << 62, true},
		{"c/2", 1 << 63, false},
		{"0123456789abcdef/64", 0x0123456789abcdef, true},
		{"0123456789abcdef/64", 0x0123456789abcdee, false},
	} {
		k, err := ParseKeyPrefix(tc.text)
		if err != nil || k.String() != tc.text {
			t.Errorf("%s: %v, %v", tc.text, k, err)
			continue
		}
		if k.Contains(tc.key) != tc.in {
			t.Errorf("%s contains %x: %v", tc.text, tc.key, !tc.in)
		}
		if id := name.ServiceID().WithKey(tc.key); k.Of(name).Contains(id) != tc.in || id.Key() != tc.key || !name.Prefix().Contains(id) {
			t.Errorf("%s: the ID %v of key %x does not agree", tc.text, id, tc.key)
		}
	}
	for _, bad := range []string{"", "8", "8/65", "8/x", "g/4", "c/1", "0123456789abcdef0/64"} {
		if k, err := ParseKeyPrefix(bad); err == nil {
			t.Errorf("%q is taken for %v", bad, k)
		}
	}
}
