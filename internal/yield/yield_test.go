package yield

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestYieldsThatTakeLong are few: they take a fiftieth of the time at the most.
func TestYieldsThatTakeLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		takes, yields := time.Duration(0), 0
		y := Yielder{yield: func() { yields++; time.Sleep(takes) }}
		for range 100 {
			y.Yield()
		}
		takes = slow - 1
		for range 100 {
			y.Yield()
		}
		if yields != 200 {
			t.Fatalf("%d of 200 yields, all of which were quick", yields)
		}
		takes, yields = 10*time.Millisecond, 0
		for began := time.Now(); time.Since(began) < 5*time.Second; time.Sleep(time.Millisecond) { // the work
			y.Yield()
		}
		if yields < 8 || yields > 10 {
			t.Fatalf("%d yields of %v in 5 s, want about 10", yields, takes)
		}
		takes, yields = 0, 0
		time.Sleep(pause * 10 * time.Millisecond)
		for range 100 {
			y.Yield()
		}
		if yields != 100 {
			t.Errorf("%d of 100 yields, when they were quick again", yields)
		}
	})
}
