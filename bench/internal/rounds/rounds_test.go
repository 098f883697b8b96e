package rounds

import "testing"

func TestMedianIsTheMiddle(t *testing.T) {
	for _, test := range []struct {
		values []int
		want   int
	}{
		{nil, 0},
		{[]int{7}, 7},
		{[]int{9, 1, 5}, 5},
		{[]int{4, 3, 2, 1}, 2},
	} {
		before := len(test.values) > 0 && test.values[0] != test.want
		if got := Median(test.values); got != test.want {
			t.Errorf("median of %v: got %d, want %d", test.values, got, test.want)
		}
		if before && test.values[0] == test.want {
			t.Errorf("the values were changed: %v", test.values)
		}
	}
}
