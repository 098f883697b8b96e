package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
	"strings"

	"github.com/parley-rpc/parley/bench/internal/flame"
)

// profileCPU makes a CPU profile, until the function that it returns is called: that writes it to the files that s names, as a profile and as a flame graph, and
// prints for the latter where the time goes. Without such files there is no profile.
func profileCPU(s settings, out io.Writer) (stop func() error, err error) {
	if s.cpuProfile == "" && s.flame == "" {
		return func() error { return nil }, nil
	}
	var b bytes.Buffer
	if err := pprof.StartCPUProfile(&b); err != nil {
		return nil, err
	}
	return func() error {
		pprof.StopCPUProfile()
		if s.cpuProfile != "" {
			if err := os.WriteFile(s.cpuProfile, b.Bytes(), 0o644); err != nil {
				return err
			}
		}
		if s.flame == "" {
			return nil
		}
		return drawFlame(&b, s, out)
	}, nil
}

// drawFlame writes the flame graph of a profile, and prints a line for each share of a stage and an owner, such as
//
//	share caller memory 8.13
func drawFlame(profile io.Reader, s settings, out io.Writer) error {
	g, err := flame.Read(profile)
	if err != nil {
		return err
	}
	for _, share := range g.Shares() {
		fmt.Fprintf(out, "share %s %s %.2f\n", share.Stage, share.Owner, share.Percent)
	}
	return os.WriteFile(s.flame, g.SVG(fmt.Sprintf("Processor time of %s", strings.Trim(s.only.String(), "^$"))), 0o644)
}

// profileAllocations writes a profile of all allocations since the program's start to path. An empty path means no profile.
func profileAllocations(path string) error {
	if path == "" {
		return nil
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(pprof.Lookup("allocs").WriteTo(f, 0), f.Close())
}
