package resolver

import (
	"encoding/binary"
	"math"

	"github.com/cespare/xxhash/v2"

	"github.com/serval-net/serval/pkg/identity"
	"github.com/serval-net/serval/pkg/sal"
)

// HashKey returns the place of a key in a service's key space: its xxHash64, but
// never 0, which in a service ID stands for no key.
func HashKey(key string) uint64 { return max(xxhash.Sum64String(key), 1) }

// HashLuck is what luck is to BalanceWeighted, but for one key always the same, on
// every node: the least of all wins, as with BalanceHash. This is weighted
// rendezvous hashing, so that an instance that comes takes from each of the others
// only what is its own, and what one leaves behind goes to all others in
// proportion.
func HashLuck(key uint64, in *Instance) float64 {
	var b [8 + 16 + 18]byte
	binary.BigEndian.PutUint64(b[:], key)
	n := 8
	if in.Node != (identity.NodeID{}) || len(in.Addrs) == 0 {
		n += copy(b[n:], in.Node[:])
	} else {
		a := in.Addrs[0].Addr().As16()
		n += copy(b[n:], a[:])
		binary.BigEndian.PutUint16(b[n:], in.Addrs[0].Port())
		n += 2
	}
	return -math.Log(unit(xxhash.Sum64(b[:n]))) / in.weight()
}

// unit makes of a hash a number above 0 and below 1.
func unit(hash uint64) float64 { return (float64(hash>>11) + 0.5) / (1 << 53) }

// spread makes of a key one that has nothing to do with it.
func spread(key uint64) uint64 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], key)
	return xxhash.Sum64(b[:])
}

// owned returns by how many bits of its prefix an instance owns a key: 0 if it
// answers for all, -1 if it does not own it.
func owned(keys []sal.KeyPrefix, key uint64) int {
	if len(keys) == 0 {
		return 0
	}
	bits := -1
	for _, k := range keys {
		if k.Contains(key) {
			bits = max(bits, int(k.Bits))
		}
	}
	return bits
}

func (in *Instance) weight() float64 { return float64(max(in.Weight, 1)) }
