package servicetable

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/serval-net/serval/pkg/sal"
)

// play runs a script against a table and its slow twin. A step is five bytes:
// what to do, a prefix length and three bytes that make up the ID, or that of a
// name; few values of each make prefixes nest and collide.
func play(script []byte) error {
	var fast Table[int]
	var slow slowTable
	for ; len(script) >= 5; script = script[5:] {
		op, bits := script[0], uint16(script[1])
		if op&0x40 != 0 {
			bits += 8 // to 256 too, and away from alignment
		}
		var id sal.ServiceID
		for i := range id {
			id[i] = script[2+i*3/len(id)]
		}
		if op&0x80 != 0 {
			id[0] = named
		}
		switch p := (sal.Prefix{ID: id, Bits: min(bits, 256)}); op % 4 {
		case 0, 1:
			r := &Rule[int]{Prefix: p, Action: Demux, Priority: int(op / 16 % 3)}
			if err := fast.Add(r); err != nil {
				return err
			}
			slow.add(r)
		case 2:
			if n := len(slow.rules); n > 0 {
				r := slow.rules[int(bits)%n]
				fast.Remove(r)
				slow.remove(r)
			}
		}
		if got, want := matches(&fast, id), slow.matches(id); !slices.Equal(got, want) {
			return fmt.Errorf("%v matches %d rules, want %d", id, len(got), len(want))
		}
	}
	if fast.Len() != len(slow.rules) {
		return fmt.Errorf("Len() = %d, want %d", fast.Len(), len(slow.rules))
	}
	n := 0
	for set := range fast.All() {
		if fast.Get(set.Prefix()) != set {
			return fmt.Errorf("%v is not found by its prefix", set.Prefix())
		}
		n += len(set.Rules())
	}
	if n != len(slow.rules) {
		return fmt.Errorf("All has %d rules, want %d", n, len(slow.rules))
	}
	fast.Remove(slow.rules...)
	if now := fast.current.Load(); fast.Len() != 0 || now.forest != (forest[int]{key: now.key}) {
		return fmt.Errorf("after removing every rule, %d are left", fast.Len())
	}
	return nil
}

func TestOracle(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 60 {
		script := make([]byte, 5*300)
		spread := 1 + r.IntN(200)
		for i := range script {
			script[i] = byte(r.IntN(spread))
			if i%5 < 2 {
				script[i] = byte(r.Uint32())
			}
		}
		if err := play(script); err != nil {
			t.Fatal(err)
		}
	}
}

func FuzzTable(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 0x40, 255, 1, 2, 3, 2, 1, 0, 0, 0, 0, 17, 255, 255, 255})
	f.Add([]byte{0, 9, 128, 0, 0, 0, 10, 128, 0, 0, 0, 8, 128, 0, 0, 2, 0, 0, 0, 0, 3, 0, 128, 1, 1})
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 5*500 {
			return
		}
		if err := play(script); err != nil {
			t.Error(err)
		}
	})
}
