package session

import (
	"reflect"
	"testing"
	"time"
)

// TestLimitsTravel has every limit differ from its initial value, and from the others.
func TestLimitsTravel(t *testing.T) {
	var want Limits
	fields := reflect.ValueOf(&want).Elem()
	for i := range fields.NumField() {
		n := leastFrameBytes + 1 + i
		if f := fields.Field(i); f.CanUint() {
			f.SetUint(uint64(n))
		} else {
			f.SetInt(int64(time.Duration(n) * time.Millisecond))
		}
	}
	if got := LimitsFromProto(want.Proto()); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got, want := LimitsFromProto(nil), InitialLimits(); got != want {
		t.Errorf("of nothing: got %+v\nwant %+v", got, want)
	}
}
