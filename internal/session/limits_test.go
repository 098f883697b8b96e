package session

import (
	"reflect"
	"testing"
)

// TestLimitsTravel has every limit differ from its initial value, and from the others.
func TestLimitsTravel(t *testing.T) {
	var want Limits
	fields := reflect.ValueOf(&want).Elem()
	for i := range fields.NumField() {
		fields.Field(i).SetUint(uint64(leastFrameBytes + 1 + i))
	}
	if got := LimitsFromProto(want.Proto()); got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got, want := LimitsFromProto(nil), InitialLimits(); got != want {
		t.Errorf("of nothing: got %+v\nwant %+v", got, want)
	}
}
