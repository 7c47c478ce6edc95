package resolver

import "fmt"

// Balance is how a dialler chooses among the instances of the best priority. An
// instance may wish for one in its registration; the dialler's own choice counts
// for more.
type Balance uint8

const (
	BalanceDefault   Balance = iota // as the instances wish, else BalanceWeighted
	BalanceWeighted                 // at random, by weight
	BalanceLeastLoad                // of two drawn by weight, the less loaded
	BalanceNearest                  // the shortest round trip, where one was measured
	BalanceHash                     // the same instance for the same key, as long as it lives
)

var balances = [...]string{"default", "weighted", "least-load", "nearest", "hash"}

// String returns the name that ParseBalance reads.
func (b Balance) String() string {
	if int(b) < len(balances) {
		return balances[b]
	}
	return fmt.Sprintf("balance(%d)", uint8(b))
}

// ParseBalance reads the name of a Balance; the empty string is the default.
func ParseBalance(s string) (Balance, error) {
	for i, name := range balances {
		if s == name {
			return Balance(i), nil
		}
	}
	if s == "" {
		return BalanceDefault, nil
	}
	return 0, fmt.Errorf("resolver: %.40q is no way to choose an instance; write weighted, least-load, nearest or hash", s)
}

// MarshalText returns what String does.
func (b Balance) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// UnmarshalText parses what ParseBalance does.
func (b *Balance) UnmarshalText(text []byte) (err error) {
	*b, err = ParseBalance(string(text))
	return err
}
