package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// stage is where the programs of a demo run.
type stage struct {
	bin     string // directory of the programs, absolute
	port    int    // the first to try
	out     io.Writer
	mu      sync.Mutex // guards out
	started []*program
}

// program is a running program, and what it has printed.
type program struct {
	stage *stage
	name  string
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended and all its lines are in lines
	err   error         // set before ended is closed

	mu      sync.Mutex
	partial []byte
	lines   []string
	next    int           // how many of lines have been expected, or passed over
	more    chan struct{} // closed and replaced with each line
}

// start starts a program of the directory bin. name stands before its lines.
func (s *stage) start(name, file string, args ...string) (*program, error) {
	return s.startCommand(name, exec.Command(filepath.Join(s.bin, file), args...))
}

func (s *stage) startCommand(name string, cmd *exec.Cmd) (*program, error) {
	p := &program{stage: s, name: name, cmd: cmd, ended: make(chan struct{}), more: make(chan struct{})}
	p.cmd.Stdout, p.cmd.Stderr = p, p
	p.cmd.WaitDelay = time.Second // for what it may have started itself, and that keeps its output open
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	s.started = append(s.started, p)
	go func() { // clear waits for it
		defer close(p.ended)
		p.err = p.cmd.Wait()
	}()
	return p, nil
}

// clear kills the programs that still run, and waits for their end.
func (s *stage) clear() {
	for _, p := range s.started {
		_ = p.cmd.Process.Kill() // its only error is that the program has ended
		<-p.ended
	}
}

// freePort returns the first port that is free, from that of the stage on.
func (s *stage) freePort() (string, error) {
	for port := s.port; ; port++ {
		l, err := net.Listen("tcp", net.JoinHostPort("localhost", strconv.Itoa(port)))
		if err == nil {
			return strconv.Itoa(port), l.Close()
		}
		if port == s.port+16 {
			return "", fmt.Errorf("no port from %d to %d is free: %w", s.port, port, err)
		}
	}
}

// Write takes what the program prints, and prints its whole lines.
func (p *program) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.partial = append(p.partial, b...)
	for {
		line, rest, whole := bytes.Cut(p.partial, []byte("\n"))
		if !whole {
			return len(b), nil
		}
		p.partial = rest
		p.lines = append(p.lines, string(line))
		p.stage.print(p.name, string(line))
		close(p.more)
		p.more = make(chan struct{})
	}
}

func (s *stage) print(name, line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintf(s.out, "%s | %s\n", name, line)
}

// line waits for the next line, and returns it.
func (p *program) line(ctx context.Context) (string, error) {
	for {
		p.mu.Lock()
		more := p.more
		if p.next < len(p.lines) {
			p.next++
			defer p.mu.Unlock()
			return p.lines[p.next-1], nil
		}
		p.mu.Unlock()
		select {
		case <-more:
		case <-p.ended:
			// What it printed last may have come together with its end.
			p.mu.Lock()
			over := p.next == len(p.lines)
			p.mu.Unlock()
			if over {
				return "", fmt.Errorf("%s has ended", p.name)
			}
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

// find waits for a line with text in it, and returns it. Other lines may come before.
func (p *program) find(ctx context.Context, text string) (string, error) {
	for {
		line, err := p.line(ctx)
		if err != nil {
			return "", fmt.Errorf("%s did not print a line with %q: %w", p.name, text, err)
		}
		if strings.Contains(line, text) {
			return line, nil
		}
	}
}

// expect waits for the lines want, in this order. Other lines may come between.
func (p *program) expect(ctx context.Context, want ...string) error {
	for _, line := range want {
		if err := p.expectAll(ctx, line); err != nil {
			return err
		}
	}
	return nil
}

// expectAll waits for the lines want, in any order. Other lines may come between.
func (p *program) expectAll(ctx context.Context, want ...string) error {
	missing := slices.Clone(want)
	for len(missing) > 0 {
		line, err := p.line(ctx)
		if err != nil {
			return fmt.Errorf("%s did not print %q: %w", p.name, missing, err)
		}
		if i := slices.Index(missing, line); i >= 0 {
			missing = slices.Delete(missing, i, i+1)
		}
	}
	return nil
}

// count returns how many lines so far have text in them.
func (p *program) count(text string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := 0
	for _, line := range p.lines {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// wait waits until the program has ended by itself, with status 0.
func (p *program) wait(ctx context.Context) error {
	select {
	case <-p.ended:
	case <-ctx.Done():
		return fmt.Errorf("%s does not end: %w", p.name, ctx.Err())
	}
	if p.err != nil {
		return fmt.Errorf("%s: %w", p.name, p.err)
	}
	return nil
}

// interrupt asks the program to end, as Ctrl-C does.
func (p *program) interrupt() error { return p.cmd.Process.Signal(os.Interrupt) }

// kill ends the program without asking it, as kill -9 does.
func (p *program) kill() error {
	p.stage.print("demo", "kill -9 "+p.name)
	if err := p.cmd.Process.Kill(); err != nil {
		return err
	}
	<-p.ended
	return nil
}
