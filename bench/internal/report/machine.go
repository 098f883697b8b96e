package report

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
)

// Machine is what was measured on. It has neither the names of hosts nor paths.
type Machine struct {
	CPU        string `json:",omitempty"`
	Cores      int
	GOMAXPROCS int
	// Virtual says that the processor knows of a hypervisor.
	Virtual bool   `json:",omitempty"`
	OS      string // with the architecture, such as linux/amd64
	Kernel  string `json:",omitempty"`
	Go      string
	// Modules are those that were asked for.
	Modules []Module `json:",omitempty"`
}

// Module is one that the program was built of.
type Module struct {
	Path    string
	Version string
}

// DescribeMachine returns what this program runs on, and the versions of its modules with the given paths, in that order. What the
// system does not say is left out.
func DescribeMachine(modules ...string) (Machine, error) {
	m := Machine{
		Cores:      runtime.NumCPU(),
		GOMAXPROCS: runtime.GOMAXPROCS(0),
		OS:         runtime.GOOS + "/" + runtime.GOARCH,
		Go:         runtime.Version(),
	}
	info, err := readIfThere("/proc/cpuinfo")
	if err != nil {
		return Machine{}, err
	}
	m.CPU, m.Virtual = processor(info)
	kernel, err := readIfThere("/proc/sys/kernel/osrelease")
	if err != nil {
		return Machine{}, err
	}
	m.Kernel = strings.TrimSpace(kernel)
	if build, ok := debug.ReadBuildInfo(); ok {
		m.Modules = versions(build, modules)
	}
	return m, nil
}

func readIfThere(path string) (string, error) {
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("report: describe the machine: %w", err)
	}
	return string(b), nil
}

// processor reads the model, and whether it is virtual, from /proc/cpuinfo.
func processor(info string) (model string, virtual bool) {
	for line := range strings.Lines(info) {
		key, value, _ := strings.Cut(line, ":")
		switch strings.TrimSpace(key) {
		case "model name":
			model = oneLine(value)
		case "flags":
			virtual = slices.Contains(strings.Fields(value), "hypervisor")
		}
	}
	return model, virtual
}

// versions returns those of modules that are in the build. One that is replaced by a directory is of the same tree, whose path is
// nobody's business.
func versions(build *debug.BuildInfo, modules []string) []Module {
	var found []Module
	for _, path := range modules {
		for _, m := range append([]*debug.Module{&build.Main}, build.Deps...) {
			if m.Path == path {
				found = append(found, Module{path, version(m)})
			}
		}
	}
	return found
}

func version(m *debug.Module) string {
	switch {
	case m.Replace != nil && local(m.Replace.Version), m.Replace == nil && local(m.Version):
		return "this tree"
	case m.Replace != nil:
		return m.Replace.Path + " " + m.Replace.Version
	}
	return m.Version
}

// local reports whether a version is that of a directory.
func local(version string) bool { return version == "" || version == "(devel)" }
