package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// build builds packages of a Go module, given by its go.mod, and returns the directory of the programs.
func build(t *testing.T, modfile string, packages ...string) string {
	t.Helper()
	dir := t.TempDir()
	command(t, append([]string{"go", "build", "-modfile=" + modfile, "-o", dir + string(filepath.Separator)}, packages...)...)
	return dir
}

// program returns the name of the file of a Go program.
func program(dir, name string) string {
	if runtime.GOOS == "windows" {
		name += ".exe"
	}
	return filepath.Join(dir, name)
}

func TestProgram(t *testing.T) {
	plugin := program(build(t, "../../go.mod", "."), "protoc-gen-go-parley")

	t.Run("version", func(t *testing.T) {
		for _, flag := range []string{"-version", "--version"} {
			if got := command(t, plugin, flag); !regexp.MustCompile(`^protoc-gen-go-parley \S+\n$`).MatchString(got) {
				t.Errorf("%s printed %q", flag, got)
			}
		}
	})

	t.Run("plugin", func(t *testing.T) {
		files := readDescriptors(t)
		request, err := proto.Marshal(&pluginpb.CodeGeneratorRequest{
			FileToGenerate: []string{"editions/opaque/opaque.proto"},
			ProtoFile:      files.GetFile(),
			Parameter:      proto.String("module=" + testdataModule),
		})
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), plugin)
		cmd.Stdin = bytes.NewReader(request)
		stdout, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		response := &pluginpb.CodeGeneratorResponse{}
		if err := proto.Unmarshal(stdout, response); err != nil {
			t.Fatal(err)
		}
		if response.Error != nil || len(response.GetFile()) != 1 {
			t.Fatalf("got error %q and %d files, want one file", response.GetError(), len(response.GetFile()))
		}
		const golden = "editions/opaque/opaquev1parley/opaque.parley.go"
		compare(t, map[string]string{response.GetFile()[0].GetName(): response.GetFile()[0].GetContent()},
			map[string]string{golden: read(t, filepath.Join(testdata, golden))})
		const features = pluginpb.CodeGeneratorResponse_FEATURE_PROTO3_OPTIONAL | pluginpb.CodeGeneratorResponse_FEATURE_SUPPORTS_EDITIONS
		if got := response.GetSupportedFeatures(); got != uint64(features) {
			t.Errorf("supported features %b, want %b", got, features)
		}
		if got := response.GetMaximumEdition(); got < int32(descriptorpb.Edition_EDITION_2023) {
			t.Errorf("maximum edition %d, want 2023 or later", got)
		}
	})
}

// TestProtoc runs protoc with the stock plugins and this one into one directory.
func TestProtoc(t *testing.T) {
	protoc, err := exec.LookPath("protoc")
	if err != nil {
		t.Skip("protoc is not on PATH; it is in the package protobuf-compiler of Debian and Ubuntu, and protobuf of Homebrew")
	}
	plugins := []string{
		"--plugin=" + program(build(t, "../../go.mod", "."), "protoc-gen-go-parley"),
	}
	stock := build(t, "../../tools/go.mod", "google.golang.org/protobuf/cmd/protoc-gen-go", "google.golang.org/grpc/cmd/protoc-gen-go-grpc")
	for _, name := range []string{"protoc-gen-go", "protoc-gen-go-grpc"} {
		plugins = append(plugins, "--plugin="+program(stock, name))
	}
	// google/protobuf/go_features.proto is here, and not with protoc.
	includes := []string{
		"-I" + testdata,
		"-I" + filepath.Join(strings.TrimSpace(command(t, "go", "list", "-m", "-f", "{{.Dir}}", "google.golang.org/protobuf")), "src"),
	}

	for _, shape := range shapes(t, ".") {
		if shape == refused || shape == "directives" {
			continue
		}
		t.Run(shape, func(t *testing.T) {
			if shape == "editions" && protocVersion(t, protoc) < 27 {
				t.Skip("editions need protoc 27 or later")
			}
			out := t.TempDir()
			args := append([]string{protoc}, plugins...)
			args = append(args, includes...)
			for _, plugin := range []string{"go", "go-grpc", "go-parley"} {
				args = append(args, "--"+plugin+"_out="+out, "--"+plugin+"_opt=module="+testdataModule)
			}
			command(t, append(args, find(t, shape, ".proto")...)...)

			got := map[string]string{}
			for _, name := range find(t, shape, ".go") {
				content, err := os.ReadFile(filepath.Join(out, name))
				switch {
				case err != nil:
					t.Error(err)
				case strings.HasSuffix(name, ".parley.go"):
					got[name] = string(content)
				}
			}
			compare(t, got, readGolden(t, shape))
		})
	}
}

// protocVersion returns the major version of protoc, and 3 for all of 3.x.
func protocVersion(t *testing.T, protoc string) int {
	t.Helper()
	text := command(t, protoc, "--version")
	match := regexp.MustCompile(`^libprotoc (\d+)\.`).FindStringSubmatch(text)
	if match == nil {
		t.Fatalf("%s --version printed %q", protoc, text)
	}
	version, err := strconv.Atoi(match[1])
	if err != nil {
		t.Fatal(err)
	}
	return version
}
