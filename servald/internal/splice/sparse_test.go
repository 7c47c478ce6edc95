package splice

import (
	"testing"
	"time"
)

func TestSparse(t *testing.T) {
	var s sparse
	now := time.Unix(1, 0)
	told := 0
	for range 100 {
		if ok, skipped := s.tell(now); ok {
			told++
			if skipped != 0 {
				t.Errorf("%d were skipped before the first %d", skipped, told)
			}
		}
	}
	if told != maxWarnings {
		t.Errorf("%d of 100 were told", told)
	}
	if ok, skipped := s.tell(now.Add(time.Second)); !ok || skipped != 100-maxWarnings {
		t.Errorf("a second later: told %v, %d skipped", ok, skipped)
	}
}
