package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// DataFile returns where the data of the report in a directory belong.
func DataFile(dir string) string { return filepath.Join(dir, figureDir, "data.json") }

// Save writes d to a file, from which Open reads it. It makes the directory if there is none.
func Save(d Data, path string) error {
	if err := d.Validate(); err != nil {
		return err
	}
	b, err := json.MarshalIndent(d, "", "\t")
	if err != nil {
		return fmt.Errorf("report: encode the data: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("report: save the data: %w", err)
	}
	if err := os.WriteFile(path, append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("report: save the data: %w", err)
	}
	return nil
}

// Open reads what Save has written. It fails if the file has what this version does not know.
func Open(path string) (Data, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Data{}, fmt.Errorf("report: read the data: %w", err)
	}
	var d Data
	decoder := json.NewDecoder(bytes.NewReader(b))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil {
		return Data{}, fmt.Errorf("report: decode %s: %w", path, err)
	}
	return d, d.Validate()
}

// Write writes benchmarks.md and the figures, in benchmarks/, into a directory. It removes the figures that an earlier report had and
// this one has not. If it fails before it has drawn everything, it has written nothing.
func Write(d Data, dir string) error {
	page, err := Markdown(d)
	if err != nil {
		return err
	}
	figures, err := Figures(d)
	if err != nil {
		return err
	}
	sub := filepath.Join(dir, figureDir)
	if err := os.MkdirAll(sub, 0o755); err != nil {
		return fmt.Errorf("report: write: %w", err)
	}
	for _, name := range figureFiles() {
		if err := os.Remove(filepath.Join(sub, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("report: remove an old figure: %w", err)
		}
	}
	for _, f := range figures {
		if err := os.WriteFile(filepath.Join(sub, f.File), f.SVG, 0o644); err != nil {
			return fmt.Errorf("report: write a figure: %w", err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "benchmarks.md"), page, 0o644); err != nil {
		return fmt.Errorf("report: write: %w", err)
	}
	return nil
}
