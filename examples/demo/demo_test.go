package main

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestDemo runs what make demo and make demo-cluster run.
func TestDemo(t *testing.T) {
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", bin+"/", "../sayhi/...", "../cluster/...")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name := range scenarios {
		t.Run(name, func(t *testing.T) {
			if name == "stock" && os.Getenv(rootVariable) == "" {
				t.Skip("needs packages of other languages: run make stock")
			}
			if name == "grpcurl" {
				t.Skip("needs grpcurl among the programs: run make grpcurl")
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var out strings.Builder
			// Not the default port, so that a demo may run beside the test.
			if err := run(ctx, &out, bin, 15678, name); err != nil {
				t.Errorf("%v, after\n%s", err, out.String())
			}
		})
	}
}

// TestStageFails holds the demo itself to what it promises: a missing line, a line out of order and a bad end are errors.
func TestStageFails(t *testing.T) {
	for _, c := range []struct {
		name, script string
		check        func(ctx context.Context, p *program) error
		want         string
	}{
		{"missing line", "echo a", func(ctx context.Context, p *program) error { return p.expect(ctx, "a", "b") }, `did not print ["b"]`},
		{"wrong order", "echo b; echo a", func(ctx context.Context, p *program) error { return p.expect(ctx, "a", "b") }, `did not print ["b"]`},
		{"half a line", "echo ab", func(ctx context.Context, p *program) error { return p.expect(ctx, "a") }, `did not print ["a"]`},
		{"status", "exit 3", func(ctx context.Context, p *program) error { return p.wait(ctx) }, "exit status 3"},
		{"never ends", "exec sleep 1000", func(_ context.Context, p *program) error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
			defer cancel()
			return p.wait(ctx)
		}, "does not end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			sh, err := exec.LookPath("sh")
			if err != nil {
				t.Skip("no shell")
			}
			s := &stage{out: &strings.Builder{}}
			defer s.clear()
			p, err := s.startCommand("program", exec.Command(sh, "-c", c.script))
			if err != nil {
				t.Fatal(err)
			}
			if err := c.check(t.Context(), p); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got error %v, want one with %q", err, c.want)
			}
		})
	}
}
