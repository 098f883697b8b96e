package main

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/parley-rpc/parley/internal/faultproxy"
)

// environment returns what os.Getenv would be.
func environment(variables map[string]string) func(string) string {
	return func(name string) string { return variables[name] }
}

func TestParseConfig(t *testing.T) {
	c, err := parseConfig(environment(nil))
	if err != nil || c.duration != time.Minute || !slices.Equal(c.kinds, faultproxy.Kinds()) || !c.aging {
		t.Errorf("without variables: %+v, %v", c, err)
	}
	c, err = parseConfig(environment(map[string]string{"CHAOS_S": "5", "CHAOS_SEED": "18446744073709551615", "CHAOS_FAULTS": "age,reset,cut,cut"}))
	if err != nil || c.duration != 5*time.Second || c.seed != 1<<64-1 || !slices.Equal(c.kinds, []faultproxy.Kind{faultproxy.Reset, faultproxy.Cut}) || !c.aging {
		t.Errorf("with all variables: %+v, %v", c, err)
	}
	c, err = parseConfig(environment(map[string]string{"CHAOS_FAULTS": "none"}))
	if err != nil || len(c.kinds) != 0 || c.aging {
		t.Errorf("without faults: %+v, %v", c, err)
	}
	for variable, value := range map[string]string{"CHAOS_S": "0", "CHAOS_SEED": "-1", "CHAOS_FAULTS": "cut,flood"} {
		var e *configError
		if _, err := parseConfig(environment(map[string]string{variable: value})); !errors.As(err, &e) || e.variable != variable || e.value != value {
			t.Errorf("%s=%s: %v", variable, value, err)
		}
	}
}

// TestWeights: every kind of fault comes.
func TestWeights(t *testing.T) {
	for _, k := range faultproxy.Kinds() {
		if weights[k] < 1 {
			t.Errorf("%s never comes", k)
		}
	}
}
