package report

import "testing"

func TestFormats(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{significant(0), "0"},
		{significant(0.012345), "0.0123"},
		{significant(9.999), "10.0"},
		{significant(123456), "123000"},
		{count(12), "12"},
		{count(999999), "999,999"},
		{count(1234567), "1,230,000"},
		{count(12.345), "12.3"},
		{duration(999.4), "999 ns"},
		{duration(999.7), "1.00 µs"},
		{duration(1234), "1.23 µs"},
		{duration(2.5e9), "2.50 s"},
		{duration(12345e9), "12300 s"},
		{size(1023), "1023 B"},
		{size(1024), "1.00 KiB"},
		{size(65536), "64.0 KiB"},
		{rate(9876.5), "9,880"},
		{tickCount(1), "1"},
		{tickCount(20000), "20k"},
		{tickTime(1e6), "1 ms"},
		{tickBytes(1e5), "100 kB"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

// A goal that is missed by little does not look met, and one that is met exactly does not look missed.
func TestRatiosAreRoundedAwayFromTheirGoals(t *testing.T) {
	for _, c := range []struct {
		r    Ratio
		met  bool
		want string
	}{
		{Ratio{Value: 4.9999, Goal: 5}, false, "4.99"},
		{Ratio{Value: 1.15, Goal: 1.15}, true, "1.15"},
		{Ratio{Value: 1.0001, Goal: 1, AtMost: true}, false, "1.01"},
		{Ratio{Value: 0.29, Goal: 0.29, AtMost: true}, true, "0.29"},
		{Ratio{Value: 4.9999}, true, "5.00"},
	} {
		if got := c.r.ratio(c.r.Value); got != c.want || c.r.Met() != c.met {
			t.Errorf("%+v: got %q, met %t", c.r, got, c.r.Met())
		}
	}
}
