package main

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// Each directory of testdata is a shape of input: .proto files, with the golden output of this plugin and the stock ones in
// the Go packages below (but for the shape directives, which the stock plugins cannot generate). Each directory of testdata/refused is an input that is refused, with the golden error.
//
// The .proto files are read from descriptors.binpb, so that neither buf nor protoc is needed here. -update, which needs buf,
// makes that, its fingerprint, and all of the output.
const (
	testdata        = "internal/testdata"
	refused         = "refused"
	descriptorsFile = testdata + "/descriptors.binpb"
	fingerprintFile = testdata + "/descriptors.sha256" // of the .proto files
	testdataModule  = "github.com/parley-rpc/parley/cmd/protoc-gen-go-parley/internal/testdata"
)

var update = flag.Bool("update", false, "rewrite "+testdata+" with buf and this plugin")

func TestGolden(t *testing.T) {
	if *update {
		updateStock(t)
	}
	files := readDescriptors(t)
	for _, shape := range shapes(t, ".") {
		if shape == refused {
			continue
		}
		t.Run(shape, func(t *testing.T) {
			response := run(t, files, shape)
			if response.Error != nil {
				t.Fatalf("the plugin refused the files: %s", response.GetError())
			}
			got := map[string]string{}
			for _, f := range response.GetFile() {
				got[f.GetName()] = f.GetContent()
			}
			if *update {
				rewrite(t, shape, got)
			}
			compare(t, got, readGolden(t, shape))
		})
	}
}

func TestGoldenRefused(t *testing.T) {
	files := readDescriptors(t)
	for _, name := range shapes(t, refused) {
		t.Run(name, func(t *testing.T) {
			response := run(t, files, path.Join(refused, name))
			if len(response.GetFile()) > 0 {
				t.Errorf("got %d files, want none", len(response.GetFile()))
			}
			got := response.GetError() + "\n"
			golden := filepath.Join(testdata, refused, name, "error.txt")
			if *update {
				write(t, golden, got)
			}
			if want := read(t, golden); got != want {
				t.Errorf("got error\n%swant\n%s", got, want)
			}
		})
	}
}

// TestGoldenBuilds holds the golden files of every shape to what go vet asks, which includes that they compile.
func TestGoldenBuilds(t *testing.T) {
	var packages []string // "..." passes over directories named testdata
	for _, name := range find(t, ".", ".go") {
		packages = append(packages, "./"+path.Join(testdata, path.Dir(name)))
	}
	command(t, append([]string{"go", "vet"}, slices.Compact(packages)...)...)
}

// shapes returns the directories of dir, in testdata.
func shapes(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(testdata, dir))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	if len(names) == 0 {
		t.Fatalf("no directories in %s/%s", testdata, dir)
	}
	return names
}

// run runs the plugin on the files of shape.
func run(t *testing.T, files *descriptorpb.FileDescriptorSet, shape string) *pluginpb.CodeGeneratorResponse {
	t.Helper()
	request := &pluginpb.CodeGeneratorRequest{
		ProtoFile: files.GetFile(),
		Parameter: proto.String("module=" + testdataModule),
	}
	for _, f := range files.GetFile() {
		if strings.HasPrefix(f.GetName(), shape+"/") {
			request.FileToGenerate = append(request.FileToGenerate, f.GetName())
		}
	}
	if len(request.FileToGenerate) == 0 {
		t.Fatalf("no .proto files of %s in %s", shape, descriptorsFile)
	}
	plugin, err := protogen.Options{}.New(request)
	if err != nil {
		t.Fatal(err)
	}
	if err := generate(plugin); err != nil {
		plugin.Error(err)
	}
	return plugin.Response()
}

// compare compares generated with golden files, both by name.
func compare(t *testing.T, got, want map[string]string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if _, ok := got[name]; !ok {
			t.Errorf("%s was not generated", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if golden, ok := want[name]; !ok {
			t.Errorf("%s was generated, and there is no golden file", name)
		} else if got[name] != golden {
			t.Errorf("%s differs from its golden file: %s", name, firstDifference(got[name], golden))
		}
	}
}

func firstDifference(got, want string) string {
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(gotLines), len(wantLines)) {
		if gotLines[i] != wantLines[i] {
			return fmt.Sprintf("line %d\n got: %s\nwant: %s", i+1, gotLines[i], wantLines[i])
		}
	}
	return fmt.Sprintf("got %d lines, want %d", len(gotLines), len(wantLines))
}

// readGolden returns this plugin's golden files of shape, by name from testdata.
func readGolden(t *testing.T, shape string) map[string]string {
	t.Helper()
	golden := map[string]string{}
	for _, name := range find(t, shape, ".parley.go") {
		golden[name] = read(t, filepath.Join(testdata, name))
	}
	return golden
}

// rewrite makes files the golden files of shape.
func rewrite(t *testing.T, shape string, files map[string]string) {
	t.Helper()
	for _, name := range find(t, shape, ".parley.go") {
		if err := os.Remove(filepath.Join(testdata, name)); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range files {
		write(t, filepath.Join(testdata, name), content)
	}
}

// readDescriptors returns the .proto files, after a check that they are as they were when descriptors.binpb was made.
func readDescriptors(t *testing.T) *descriptorpb.FileDescriptorSet {
	t.Helper()
	if got, want := fingerprint(t), read(t, fingerprintFile); got != want {
		t.Fatalf("%s is older than the .proto files: run go test -run TestGolden -update in cmd/protoc-gen-go-parley", descriptorsFile)
	}
	files := &descriptorpb.FileDescriptorSet{}
	if err := proto.Unmarshal([]byte(read(t, descriptorsFile)), files); err != nil {
		t.Fatal(err)
	}
	return files
}

// fingerprint returns a hash of all .proto files.
func fingerprint(t *testing.T) string {
	t.Helper()
	hash := sha256.New()
	for _, name := range find(t, ".", ".proto") {
		fmt.Fprintf(hash, "%s %x\n", name, sha256.Sum256([]byte(read(t, filepath.Join(testdata, name)))))
	}
	return fmt.Sprintf("%x\n", hash.Sum(nil))
}

// updateStock makes what does not come from this plugin: the descriptors, their fingerprint, and the stock output.
func updateStock(t *testing.T) {
	t.Helper()
	buf := []string{"go", "tool", "-modfile=../../tools/go.mod", "buf"}
	command(t, append(buf, "build", testdata, "--as-file-descriptor-set", "-o", descriptorsFile)...)
	command(t, append(buf, "generate", testdata, "--template", testdata+"/buf.gen.yaml",
		"--exclude-path", testdata+"/"+refused, "--exclude-path", testdata+"/directives")...)
	write(t, fingerprintFile, fingerprint(t))
}

// find returns the files with suffix in and below dir, both by name from testdata, in order.
func find(t *testing.T, dir, suffix string) []string {
	t.Helper()
	var names []string
	err := fs.WalkDir(os.DirFS(testdata), dir, func(name string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(name, suffix) {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// command runs a program and returns its standard output.
func command(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String()
}

func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}
