package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/parley-rpc/parley/internal/faultproxy"
)

const (
	// clients is the number of client processes, and addresses that of the addresses that each of them has a session with.
	clients   = 3
	addresses = 3
	// pairs is how many sessions there must be.
	pairs = clients * addresses
	// flowRate is how many messages a second are sent from one end of a pair to the other.
	flowRate = 150
)

// What a run must reach at least.
const (
	leastBreaks   = 100  // a minute
	leastMessages = 1000 // a second
)

// config is what the environment says.
type config struct {
	duration time.Duration
	seed     uint64
	kinds    []faultproxy.Kind // that proxies do
	aging    bool              // server-4 ends its connections
}

// configError is a variable of the environment that cannot be used.
type configError struct{ variable, value, reason string }

func (e *configError) Error() string {
	return fmt.Sprintf("%s=%.100q: %s", e.variable, e.value, e.reason)
}

// parseConfig reads the environment.
func parseConfig(getenv func(string) string) (config, error) {
	c := config{duration: time.Minute, seed: rand.Uint64(), kinds: faultproxy.Kinds(), aging: true}
	if s := getenv("CHAOS_S"); s != "" {
		seconds, err := strconv.Atoi(s)
		if err != nil || seconds < 1 {
			return c, &configError{"CHAOS_S", s, "it must be a number of seconds, 1 at least"}
		}
		c.duration = time.Duration(seconds) * time.Second
	}
	if s := getenv("CHAOS_SEED"); s != "" {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			return c, &configError{"CHAOS_SEED", s, "it must be a number of 64 bits"}
		}
		c.seed = seed
	}
	var err error
	if s := getenv("CHAOS_FAULTS"); s != "" {
		c.kinds, c.aging, err = parseFaults(s)
	}
	return c, err
}

// faultAge is the fault that is not a proxy's.
const faultAge = "age"

// parseFaults parses CHAOS_FAULTS.
func parseFaults(s string) (kinds []faultproxy.Kind, aging bool, err error) {
	switch s {
	case "all":
		return faultproxy.Kinds(), true, nil
	case "none":
		return nil, false, nil
	}
	for name := range strings.SplitSeq(s, ",") {
		if name == faultAge {
			aging = true
			continue
		}
		k, err := faultproxy.ParseKind(name)
		if err != nil {
			return nil, false, &configError{"CHAOS_FAULTS", s, "it must be all, none, or some of age and: " + err.Error()}
		}
		if !slices.Contains(kinds, k) {
			kinds = append(kinds, k)
		}
	}
	return kinds, aging, nil
}
