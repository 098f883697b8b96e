package report

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
)

// Validate reports what cannot be shown: numbers that are NaN, infinite or negative, systems that are not in Systems, two results of
// the same measurement, and rows that do not fit their tables.
func (d Data) Validate() error {
	if err := errors.Join(numbers(reflect.ValueOf(d), "")...); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if err := errors.Join(d.names(), d.notes(), d.operations(), d.repeated(), d.shapes()); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// numbers walks through everything, so that no number is forgotten that somebody adds.
func numbers(v reflect.Value, path string) []error {
	var wrong []error
	switch v.Kind() {
	case reflect.Float64:
		if f := v.Float(); math.IsNaN(f) || math.IsInf(f, 0) || f < 0 {
			wrong = append(wrong, fmt.Errorf("%s is %g", path[1:], f))
		}
	case reflect.Int:
		if v.Int() < 0 {
			wrong = append(wrong, fmt.Errorf("%s is %d", path[1:], v.Int()))
		}
	case reflect.Pointer:
		if !v.IsNil() {
			wrong = numbers(v.Elem(), path)
		}
	case reflect.Slice:
		for i := range v.Len() {
			wrong = append(wrong, numbers(v.Index(i), fmt.Sprintf("%s[%d]", path, i))...)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			wrong = append(wrong, numbers(v.Field(i), path+"."+v.Type().Field(i).Name)...)
		}
	}
	return wrong
}

// names reports systems that nobody declared, and that were declared twice.
func (d Data) names() error {
	known := map[string]bool{}
	for _, s := range d.Systems {
		if s.Name == "" || known[s.Name] {
			return fmt.Errorf("system %q is empty or there twice", s.Name)
		}
		known[s.Name] = true
	}
	var used []string
	for _, m := range d.measurements() {
		used = append(used, m.system)
	}
	for _, name := range used {
		if !known[name] {
			return fmt.Errorf("system %q is not among the systems", name)
		}
	}
	return nil
}

func (d Data) notes() error {
	known := []Section{
		SectionRatios, SectionThroughput, SectionLatency, SectionCost, SectionMemory,
		SectionFanout, SectionAllocations, SectionFairness, SectionScale, SectionOther,
	}
	for s := range d.Notes {
		if !slices.Contains(known, s) {
			return fmt.Errorf("there is no section %q for a note", s)
		}
	}
	return nil
}

func (d Data) operations() error {
	for _, v := range d.Cost {
		if v.Operation != OperationAsk && v.Operation != OperationSend {
			return fmt.Errorf("there is no operation %q", v.Operation)
		}
	}
	return nil
}

// measurement is what has one result.
type measurement struct {
	of     Section
	system string
	at     string
}

func (d Data) measurements() []measurement {
	var all []measurement
	add := func(of Section, system string, at ...any) {
		all = append(all, measurement{of, system, fmt.Sprint(at...)})
	}
	for _, v := range d.Throughput {
		add(SectionThroughput, v.System, v.Callers, " callers")
	}
	for _, v := range d.Latency {
		add(SectionLatency, v.System, v.Offered, " a second")
	}
	for _, v := range d.Cost {
		add(SectionCost, v.System, v.Operation, " of ", v.PayloadBytes, " bytes")
	}
	for _, v := range d.Memory {
		add(SectionMemory, v.System, v.Sessions, " sessions")
	}
	for _, v := range d.Fanout {
		add(SectionFanout, v.System, v.Endpoints, " endpoints, ", v.Sessions, " sessions")
	}
	for _, v := range d.Allocations {
		add(SectionAllocations, v.System, v.Operation)
	}
	return all
}

func (d Data) repeated() error {
	seen := map[measurement]bool{}
	for _, m := range d.measurements() {
		if seen[m] {
			return fmt.Errorf("%s of %s with %s is there twice", m.of, m.system, m.at)
		}
		seen[m] = true
	}
	return nil
}

// shapes reports tables whose rows do not have their columns.
func (d Data) shapes() error {
	for _, t := range slices.Concat(d.Fairness, d.Scale, d.Other) {
		for i, row := range t.Rows {
			if len(row) != len(t.Columns) {
				return fmt.Errorf("row %d of table %q has %d cells, want %d", i, t.Title, len(row), len(t.Columns))
			}
			for k, c := range row {
				if c.Number != nil && (c.Text != "" || t.Columns[k].Unit == UnitText) {
					return fmt.Errorf("row %d of table %q has a number where there is text, in column %q", i, t.Title, t.Columns[k].Name)
				}
			}
		}
		for _, c := range t.Columns {
			if _, err := c.Unit.format(0); err != nil {
				return fmt.Errorf("column %q of table %q: %w", c.Name, t.Title, err)
			}
		}
	}
	return nil
}
