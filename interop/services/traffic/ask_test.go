package traffic

import (
	"slices"
	"testing"
	"time"
)

// TestDuring: what was due in a part of the load is in no other.
func TestDuring(t *testing.T) {
	r := Requests{
		Micros: []int{7, 8, 9}, Due: []int{3_000_000, 1_000_000, 1_999_999},
		Lost: []int{2_000_000, 1_500_000},
	}
	d := r.During(time.Second, 2*time.Second)
	if d.Asked != 3 || d.Failed != 1 || !slices.Equal(d.Micros, []int{8, 9}) || !slices.Equal(d.Due, []int{1_000_000, 1_999_999}) {
		t.Errorf("%+v", d)
	}
}
