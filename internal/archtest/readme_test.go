package archtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReadme: the programs in README.md are those that are compiled and run.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"examples/sayhi/server/main.go", "examples/sayhi/client/main.go"} {
		program, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(readme), "```go\n"+string(program)+"```\n") {
			t.Errorf("README.md does not have %s as it is", name)
		}
	}
}
