package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-rpc/parley/bench/internal/floors"
)

// invented are results in which every ratio is 1, and every operation allocates 10 times and 100 bytes.
func invented(list []benchmark, rounds int) results {
	all := results{}
	for _, b := range list {
		all[b.name] = slices.Repeat([]result{{N: 1, T: time.Second, MemAllocs: 10, MemBytes: 100}}, rounds)
	}
	return all
}

// within are bounds that invented results do not cross.
func within() floors.Bounds {
	bounds := floors.Bounds{}
	for _, f := range guarded() {
		bounds[f.key()] = 100
		if f.key().Kind == floors.Ratio {
			bounds[f.key()] = 0.9
		}
	}
	return bounds
}

// guardWith runs a guard whose Ask64/parley takes so much longer than invented at each time that it is measured. It returns which
// benchmarks were measured, each time.
func guardWith(t *testing.T, slower ...time.Duration) (measured [][]string, out string, err error) {
	t.Helper()
	var b bytes.Buffer
	g := guard{bounds: within(), out: &b, measure: func(_ context.Context, list []benchmark, rounds int) (results, error) {
		if len(slower) == len(measured) {
			return nil, errors.New("measured too often")
		}
		all := invented(list, rounds)
		for i := range all["Ask64/parley"] {
			all["Ask64/parley"][i].T *= slower[len(measured)]
		}
		var names []string
		for _, b := range list {
			names = append(names, b.name)
		}
		measured = append(measured, names)
		return all, nil
	}}
	err = g.run(t.Context())
	return measured, b.String(), err
}

func TestGuardPasses(t *testing.T) {
	measured, out, err := guardWith(t, 1)
	if err != nil || len(measured) != 1 || strings.Contains(out, "MISSED") || !strings.Contains(out, "guard: ok     ratio ask64/grpc-unary 1.00, bound 0.90\n") {
		t.Errorf("got %v, %v, %s", measured, err, out)
	}
}

func TestGuardGivesASecondChance(t *testing.T) {
	measured, out, err := guardWith(t, 3, 1)
	if err != nil || len(measured) != 2 || !slices.Equal(measured[1], []string{"Ask64/parley", "Ask64/grpc-unary"}) {
		t.Errorf("got %v, %v", measured, err)
	}
	if !strings.Contains(out, "guard: MISSED ratio ask64/grpc-unary 0.33, bound 0.90\n") || !strings.Contains(out, "measured again in 11 rounds") {
		t.Errorf("got %s", out)
	}
}

func TestGuardFailsWhatMissesTwice(t *testing.T) {
	_, _, err := guardWith(t, 3, 2)
	for _, want := range []string{"ratio ask64/grpc-unary is 0.50, 44 % below its floor of 0.90", "measured twice", "-only '^(Ask64/grpc-unary|Ask64/parley)$'", "bench/floors.txt"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to say %s", err, want)
		}
	}
}

func TestGuardFailsWhatAllocatesMore(t *testing.T) {
	bounds := within()
	bounds[floors.Key{Kind: floors.Allocs, Name: "send"}] = 7.9 // of 10, 2 are the user's
	bounds[floors.Key{Kind: floors.Bytes, Name: "send"}] = 99
	g := guard{bounds, func(_ context.Context, list []benchmark, rounds int) (results, error) {
		return invented(list, rounds), nil
	}, &bytes.Buffer{}}
	err := g.run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "allocs send is 8.00") || !strings.Contains(err.Error(), "bytes send is 100,") {
		t.Errorf("got %v", err)
	}
}

func TestGuardReportsWhatItCannotMeasure(t *testing.T) {
	broken := errors.New("broken")
	g := guard{within(), func(context.Context, []benchmark, int) (results, error) { return nil, broken }, &bytes.Buffer{}}
	if err := g.run(t.Context()); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func TestBoundsOfThisTreeAreOfWhatIsGuarded(t *testing.T) {
	bounds, err := readBounds("floors.txt")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("floors.txt")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "floors.txt")
	for name, text := range map[string]string{
		"ratio ask64/carrier-pigeon has a bound":   string(text) + "ratio ask64/carrier-pigeon 1\n",
		"ratio ask64/grpc-unary has no bound":      strings.Replace(string(text), "ratio ask64/grpc-unary", "# ratio ask64/grpc-unary", 1),
		"ratio ask64/grpc-unary has a bound alrea": string(text) + "ratio ask64/grpc-unary 1\n",
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readBounds(path); err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), path) {
			t.Errorf("got %v, want %q", err, name)
		}
	}
	for key := range bounds {
		if strings.Contains(key.Name, "two-") || strings.Contains(key.Name, "nats") {
			t.Errorf("%s is guarded", key)
		}
	}
}
