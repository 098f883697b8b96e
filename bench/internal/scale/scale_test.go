package scale

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

func tiny() Config {
	return Config{
		Endpoints: 20, Sessions: 3, Many: 100, ManyTime: time.Minute, ManyBytes: 1 << 30,
		Callers: 4, Asks: 40, Messages: 130, Rounds: 1,
	}
}

func TestRunMeasuresEverything(t *testing.T) {
	c := tiny()
	var inspected []string
	c.Inspect = func(what string) { inspected = append(inspected, what) }
	r, err := Run(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, l := range r.Lines {
		names = append(names, l.Name)
	}
	want := strings.Fields(`
		endpoint/new endpoint/new/goroutines endpoint/used endpoint/used/goroutines
		many/start many/start/done many/endpoint many/tell many/tell/done many/stop many/stop/done many/shutdown
		asks/endpoints-1 asks/endpoints-10 asks/endpoints-10/of-one asks/endpoints-20 asks/endpoints-20/of-one
		ask/endpoints-1/allocs ask/endpoints-20/allocs ask/endpoints-20/allocs/more
		send/endpoints-1/allocs send/endpoints-20/allocs send/endpoints-20/allocs/more
		session/parley session/grpc-stream session/more
		session/parley/goroutines session/grpc-stream/goroutines session/more/goroutines
		asks/sessions-1 asks/grpc-unary-1 asks/sessions-1/of-grpc-unary
		asks/sessions-3 asks/grpc-unary-3 asks/sessions-3/of-grpc-unary
		ask/sessions-1/allocs ask/sessions-3/allocs ask/sessions-3/allocs/more
		send/sessions-1/allocs send/sessions-3/allocs send/sessions-3/allocs/more`)
	if !slices.Equal(names, want) {
		t.Errorf("got lines\n%v, want\n%v", names, want)
	}
	for _, l := range r.Lines {
		if strings.HasSuffix(l.Name, "/done") && l.Missed() {
			t.Errorf("not all was done: %v", l)
		}
	}
	if want := strings.Fields("endpoints endpoints-used many sessions grpc-streams"); !slices.Equal(inspected, want) {
		t.Errorf("inspected %v, want %v", inspected, want)
	}
}

// TestIdleEndpointsTakeLittle: no goroutine, and no more memory than their goal, whether they have had a message or not.
func TestIdleEndpointsTakeLittle(t *testing.T) {
	c := tiny()
	c.Endpoints = 10_000
	var r Result
	if err := idleEndpoints(t.Context(), c, &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Lines) != 4 {
		t.Fatalf("got lines %v", r.Lines)
	}
	for _, l := range r.Lines {
		if l.Missed() {
			t.Error(l)
		}
	}
}

// TestIdleSessionsTakeLittle: at the most twice their goal, because the runtime gives all new goroutines the stack that others have used on the average.
func TestIdleSessionsTakeLittle(t *testing.T) {
	session, stream, err := Idle(t.Context(), 200)
	if err != nil {
		t.Fatal(err)
	}
	if more := session - stream; more > 2*sessionBytes {
		t.Errorf("an idle session takes %.0f bytes more than a gRPC stream, want %d at the most", more, 2*sessionBytes)
	}
}

func TestManyEndpointsEndWhenMemoryIsUsedUp(t *testing.T) {
	c := tiny()
	c.Many, c.ManyBytes = 1_000_000, 1
	var r Result
	if err := manyEndpoints(t.Context(), c, &r); err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(r.Lines, func(l Line) bool { return l.Name == "many/start/done" })
	if i < 0 || !r.Lines[i].Missed() || r.Lines[i].Value > 100_000 {
		t.Errorf("want a start that was given up early: %v", r.Lines)
	}
}

func TestRunRefusesAnEmptyConfig(t *testing.T) {
	if _, err := Run(t.Context(), Config{}); err == nil {
		t.Error("no error")
	}
}

func TestConfigsOfThePackageAreAccepted(t *testing.T) {
	for name, c := range map[string]Config{"short": Short(), "full": Full(), "tiny": tiny()} {
		if err := c.check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTooFewFilesAreTold(t *testing.T) {
	if err := checkFiles(1 << 40); err == nil {
		t.Error("no error")
	}
}

func TestATallyThatIsNotReachedEndsWithTheContext(t *testing.T) {
	var told tally
	told.expect(2)
	told.add()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := told.wait(ctx); err == nil {
		t.Error("no error")
	}
}

func TestLinesTellGoals(t *testing.T) {
	var r Result
	r.tell("a", 1234.5, "B")
	r.atMost("b", 0.25, "allocs", 0.5)
	r.atMost("c", 2, "goroutines", 0)
	r.compare("d", []float64{100, 90, 100}, []float64{200, 100, 125}, true, 0.8)
	r.compare("e", []float64{70}, []float64{100}, true, 0.8)
	want := []string{
		"scale a 1234 B", "scale b 0.25 allocs goal at most 0.50", "scale c 2 goroutines goal at most 0",
		"scale d 0.80 ratio goal at least 0.80", "scale e 0.70 ratio goal at least 0.80",
	}
	missed := []bool{false, false, true, false, true}
	for i, l := range r.Lines {
		if l.String() != want[i] || l.Missed() != missed[i] {
			t.Errorf("got %q, missed %v, want %q, missed %v", l, l.Missed(), want[i], missed[i])
		}
	}
}

func TestPowersOfTenEndWithTheMost(t *testing.T) {
	for most, want := range map[int][]int{1: {1}, 3: {1, 3}, 10: {1, 10}, 1000: {1, 10, 100, 1000}} {
		if got := powers(most); !slices.Equal(got, want) {
			t.Errorf("powers up to %d: got %v, want %v", most, got, want)
		}
	}
}

// BenchmarkScale prints the lines of a short run: go test -bench . -benchtime 1x ./internal/scale
func BenchmarkScale(b *testing.B) {
	for range b.N {
		if err := Print(b.Context(), Short(), os.Stdout); err != nil {
			b.Fatal(err)
		}
	}
}
