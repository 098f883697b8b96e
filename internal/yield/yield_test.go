package yield

import (
	"testing"
	"time"
)

// TestYieldsThatTakeLong are few: they take a fiftieth of the time at the most.
func TestYieldsThatTakeLong(t *testing.T) {
	var y Yielder
	now := time.Unix(1_000_000, 0)
	yields := 0
	yield := func(takes time.Duration) {
		if y.due(now) {
			yields++
			y.took(now, takes)
			now = now.Add(takes)
		}
	}
	for range 100 {
		yield(0)
	}
	for range 100 {
		yield(slow - 1)
	}
	if yields != 200 {
		t.Fatalf("%d of 200 yields, all of which were quick", yields)
	}
	const long = 10 * time.Millisecond
	yields = 0
	for began := now; now.Sub(began) < 5*time.Second; now = now.Add(time.Millisecond) { // the work
		yield(long)
	}
	if yields < 8 || yields > 10 {
		t.Fatalf("%d yields of %v in 5 s, want about 10", yields, long)
	}
	yields = 0
	now = now.Add(pause * long)
	for range 100 {
		yield(0)
	}
	if yields != 100 {
		t.Errorf("%d of 100 yields, when they were quick again", yields)
	}
}
