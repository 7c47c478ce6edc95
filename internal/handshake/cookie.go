package handshake

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/serval-net/serval/pkg/sal"
)

const (
	cookieEpoch = 8 * time.Second
	cookieLen   = 16
)

// cookies makes and checks the proof that a dialler receives at the address it
// sends from: a MAC of the address, the SYN and the time, with a secret that is
// new in each process. A cookie is valid for 8 to 16 seconds.
type cookies struct {
	secret [32]byte
}

func newCookies() (c cookies) {
	rand.Read(c.secret[:]) // never fails
	return c
}

func (c *cookies) make(now time.Time, key synKey) []byte {
	return c.mac(epoch(now), key)
}

// valid reports whether the SYN carries a cookie of this epoch or the last.
func (c *cookies) valid(now time.Time, syn *sal.SYN, key synKey) bool {
	got, ok := syn.Extensions.Get(sal.ExtCookie)
	if !ok {
		return false
	}
	e := epoch(now)
	return hmac.Equal(got, c.mac(e, key)) || hmac.Equal(got, c.mac(e-1, key))
}

func (c *cookies) mac(epoch int64, key synKey) []byte {
	mac := hmac.New(sha256.New, c.secret[:])
	b := binary.BigEndian.AppendUint64(nil, uint64(epoch))
	addr := key.from.Addr().As16()
	b = append(b, addr[:]...)
	b = binary.BigEndian.AppendUint16(b, key.from.Port())
	mac.Write(append(b, key.id[:]...))
	return mac.Sum(nil)[:cookieLen]
}

func epoch(now time.Time) int64 { return now.UnixNano() / int64(cookieEpoch) }
