package fairness

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
)

func tiny() Config {
	return Config{Rounds: 1, Phase: 40 * time.Millisecond, Rate: 500, AskBytes: 1 << 10, BulkBytes: 1 << 20, Patience: 200 * time.Millisecond}
}

func TestAFullEndpointStopsTheStreamButNotTheSession(t *testing.T) {
	c := tiny()
	c.Patience = 20 * time.Second
	for _, test := range []struct {
		name  string
		open  func(context.Context, Config) (system, error)
		stuck bool
	}{
		{"parley", openParley, false},
		{"grpc-stream", openMultiplexer, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := test.open(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			l, err := fill(t.Context(), c, s)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if test.stuck {
				ctx, cancel = context.WithTimeout(t.Context(), c.Phase)
				defer cancel()
			}
			_, err = s.ask(ctx, &sayhiv1.HiRequest{Msg: "x"})
			if stuck := errors.Is(err, context.DeadlineExceeded); stuck != test.stuck || err != nil && !stuck {
				t.Errorf("got error %v, want stuck %v", err, test.stuck)
			}
			if moved, err := l.end(t.Context()); err != nil || moved < int64(fillers*c.AskBytes) {
				t.Errorf("the load moved %d bytes: %v", moved, err)
			}
			if err := s.close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRunMeasuresEveryLoadInBothWays(t *testing.T) {
	r, err := Run(t.Context(), tiny())
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Fields(`
		parley/sequential parley/open-loop
		parley-bulk/sequential parley-bulk/open-loop
		parley-full/sequential parley-full/open-loop
		parley-bulk-elsewhere/sequential parley-bulk-elsewhere/open-loop
		parley-bulk-text/sequential parley-bulk-text/open-loop
		parley-bulk-text-elsewhere/sequential parley-bulk-text-elsewhere/open-loop
		grpc-stream/sequential grpc-stream/open-loop
		grpc-stream-bulk/sequential grpc-stream-bulk/open-loop
		grpc-stream-full/sequential grpc-stream-full/open-loop`)
	if len(r.Lines) != len(want) {
		t.Fatalf("got %d lines, want %d: %v", len(r.Lines), len(want), r.Lines)
	}
	for i, l := range r.Lines {
		if l.Name != want[i] {
			t.Errorf("line %d: got %s, want %s", i, l.Name, want[i])
		}
		if !l.Stuck && (l.P50 <= 0 || l.P99 < l.P50 || l.Max < l.P99 || l.Ratio <= 0) {
			t.Errorf("impossible: %+v", l)
		}
		if full := strings.HasPrefix(l.Name, "grpc-stream-full/"); full && !l.Stuck {
			t.Errorf("want it stuck: %v", l)
		}
	}
}

func TestRunRefusesAnEmptyConfig(t *testing.T) {
	if _, err := Run(t.Context(), Config{}); err == nil {
		t.Error("no error")
	}
}

func TestRatiosAreThoseOfTheSameRound(t *testing.T) {
	at := func(p99 ...time.Duration) (s []sample) {
		for _, d := range p99 {
			s = append(s, sample{p50: d, p99: d, max: d, stuck: d == 0})
		}
		return s
	}
	for _, test := range []struct {
		loaded, alone []sample
		goal          float64
		want          string
		missed        bool
	}{
		{at(2000, 60000, 8000), at(1000, 10000, 1000), 7, "fairness x p50 8µs p99 8µs max 8µs ratio 6.00 goal 7", false},
		{at(2000, 60000, 8000), at(1000, 10000, 1000), 5, "fairness x p50 8µs p99 8µs max 8µs ratio 6.00 goal 5", true},
		{at(0, 0, 8000), at(1000, 1000, 1000), 5, "fairness x stuck goal 5", true},
		{at(4000, 0, 4000), at(1000, 1000, 1000), 0, "fairness x p50 4µs p99 4µs max 4µs ratio 4.00", false},
	} {
		l := line(test.loaded, test.alone)
		l.Name, l.Goal = "x", test.goal
		if l.String() != test.want || l.Missed() != test.missed {
			t.Errorf("got %q, missed %v, want %q, missed %v", l, l.Missed(), test.want, test.missed)
		}
	}
}

// BenchmarkFairness prints the lines of a short run: go test -bench . -benchtime 1x ./internal/fairness
func BenchmarkFairness(b *testing.B) {
	for range b.N {
		if err := Print(b.Context(), Short(), os.Stdout); err != nil {
			b.Fatal(err)
		}
	}
}
