package door

import (
	"crypto/sha256"
	"crypto/subtle"

	"github.com/serval-net/serval/servald/internal/outbound"
)

// Users are the names and passwords of those who may use a proxy; none lets everybody in.
type Users map[string]string

// Login returns a client as the user that it has proved to be, and false if it has not.
// One user's programs on one host are one client. How long it takes says nothing about
// the password.
func (u Users) Login(c outbound.Client, name, password string) (outbound.Client, bool) {
	want, known := u[name]
	have, got := sha256.Sum256([]byte(want)), sha256.Sum256([]byte(password))
	if subtle.ConstantTimeCompare(have[:], got[:]) != 1 || !known {
		return c, false
	}
	if at := c.Addr.Addr(); at.IsValid() {
		c.Session += at.String()
	}
	c.Session = "user " + name + " " + c.Session
	return c, true
}
