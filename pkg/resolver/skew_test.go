package resolver

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestSkewedRecords: what a node signs whose clock is up to two minutes off is
// taken; beyond that the error says what to do. A clock that is behind has the TTL
// as well, as a record may be that old.
func TestSkewedRecords(t *testing.T) {
	id := newCluster(t, "web")[0]
	now := time.Now()
	const advice = "set the clocks of both hosts right, they may differ by 2m0s"
	for off, want := range map[time.Duration]string{
		0:                          "",
		clockSkew:                  "",
		-clockSkew:                 "",
		clockSkew + time.Second:    "2m1s from now; " + advice,
		time.Hour:                  "1h0m0s from now; " + advice,
		1 - clockSkew - DefaultTTL: "",
		-clockSkew - DefaultTTL:    "2m0s ago; unless it is an old copy, " + advice,
		-time.Hour:                 "59m0s ago; unless it is an old copy, " + advice,
	} {
		for what, sign := range map[string]func(time.Time) (*Record, error){
			"announcement": registration(id).Announce, "withdrawal": registration(id).Withdraw,
		} {
			r, err := sign(now.Add(off))
			r = mustRecord(t, r, err)
			_, err = NewDirectory(id.Cluster()).Add(r.Raw(), now)
			switch {
			case want == "" && err != nil:
				t.Errorf("an %s of a clock that is off by %v: %v", what, off, err)
			case want != "" && (!errors.Is(err, ErrRecord) || !errors.Is(err, ErrClock) || !strings.Contains(err.Error(), want)):
				t.Errorf("an %s of a clock that is off by %v: %v, want %q", what, off, err, want)
			}
		}
	}
}

// TestSkewedNodeStaysKnown: an instance whose clock is off by as much as may be is
// known as long as it renews its registration, and gone a TTL after, as any other.
func TestSkewedNodeStaysKnown(t *testing.T) {
	for _, off := range []time.Duration{-clockSkew, -90 * time.Second, 0, 90 * time.Second, clockSkew} {
		synctest.Test(t, func(t *testing.T) {
			reg := registration(newCluster(t, "web")[0])
			d := NewDirectory(reg.Identity.Cluster())
			for range 10 {
				r, err := reg.Announce(time.Now().Add(off))
				r = mustRecord(t, r, err)
				if news, err := d.Add(r.Raw(), time.Now()); news == nil || err != nil {
					t.Fatalf("off by %v: a renewal gives %v, %v", off, news, err)
				}
				for end := time.Now().Add(reg.RenewEvery()); time.Now().Before(end); time.Sleep(time.Second) {
					d.Expire(time.Now())
					if found(d, web) != 1 {
						t.Fatalf("off by %v: it is not known", off)
					}
				}
			}
			time.Sleep(DefaultTTL - reg.RenewEvery() - time.Millisecond)
			if found(d, web) != 1 {
				t.Errorf("off by %v: it was forgotten before its TTL", off)
			}
			time.Sleep(time.Millisecond)
			if found(d, web) != 0 {
				t.Errorf("off by %v: it is known for longer than its TTL", off)
			}
		})
	}
}

// TestSkewedWithdrawal: nobody's clock but the node's own counts for what is later,
// so a node that is behind can withdraw, and come back.
func TestSkewedWithdrawal(t *testing.T) {
	for _, off := range []time.Duration{-clockSkew, clockSkew} {
		synctest.Test(t, func(t *testing.T) {
			ids := newCluster(t, "web", "web")
			d := NewDirectory(ids[0].Cluster())
			announce(t, d, registration(ids[1])) // its clock is right
			reg := registration(ids[0])
			for i, sign := range []func(time.Time) (*Record, error){reg.Announce, reg.Withdraw, reg.Announce} {
				time.Sleep(time.Millisecond)
				r, err := sign(time.Now().Add(off))
				r = mustRecord(t, r, err)
				d.Add(r.Raw(), time.Now())
				if got, want := found(d, web), 2-i%2; got != want {
					t.Errorf("off by %v, step %d: %d instances, want %d", off, i, got, want)
				}
			}
		})
	}
}
