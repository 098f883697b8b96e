package floors

import (
	"math"
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	got, err := Parse(strings.NewReader("# Why.\n\nratio a/b 3.5 # steady\n  allocs a\t1\nbytes a 560"))
	want := Bounds{{Ratio, "a/b"}: 3.5, {Allocs, "a"}: 1, {Bytes, "a"}: 560}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}

func TestLinesThatAreNoBoundsAreRefused(t *testing.T) {
	for text, want := range map[string]string{
		"ratio a":                "line 1: want KIND NAME BOUND",
		"ratio a 1 2":            "want KIND NAME BOUND",
		"\nration a 1":           `line 2: there is no kind "ration"`,
		"ratio a many":           "want a number above 0",
		"ratio a 0":              "want a number above 0",
		"ratio a NaN":            "want a number above 0",
		"ratio a Inf":            "want a number above 0",
		"ratio a 1\nratio a 2":   "line 2: ratio a has a bound already",
		strings.Repeat("x", 1e5): "reading bounds",
	} {
		if _, err := Parse(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: got %v, want %q", text, err, want)
		}
	}
}

func TestBoundsAreOfWhatIsMeasured(t *testing.T) {
	b := Bounds{{Ratio, "a"}: 1, {Allocs, "b"}: 1}
	if err := b.Match([]Key{{Ratio, "a"}, {Allocs, "b"}}); err != nil {
		t.Error(err)
	}
	err := b.Match([]Key{{Ratio, "b"}, {Allocs, "b"}})
	if err == nil || err.Error() != "ratio b has no bound\nratio a has a bound, but is not measured" {
		t.Errorf("got %v", err)
	}
}

func TestCheckTellsByHowMuch(t *testing.T) {
	b := Bounds{{Ratio, "a"}: 4, {Allocs, "a"}: 2, {Bytes, "a"}: 1e9}
	for _, c := range []struct {
		key  Key
		v    float64
		want string // empty if v is within its bound
	}{
		{Key{Ratio, "a"}, 4, ""},
		{Key{Ratio, "a"}, 3, "ratio a is 3.00, 25 % below its floor of 4.00"},
		{Key{Allocs, "a"}, 2, ""},
		{Key{Allocs, "a"}, -1, ""},
		{Key{Allocs, "a"}, 3, "allocs a is 3.00, 50 % above its ceiling of 2.00"},
		{Key{Allocs, "a"}, math.NaN(), "allocs a was not measured"},
		{Key{Bytes, "a"}, 1.5e9, "bytes a is 1500000000, 50 % above its ceiling of 1000000000"},
		{Key{Bytes, "b"}, 1e9, ""},
	} {
		got := ""
		if err := b.Check(c.key, c.v); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s %g: got %q, want %q", c.key, c.v, got, c.want)
		}
	}
}
