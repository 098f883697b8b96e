package session

import (
	"fmt"
	"os"
	"reflect"
	"strconv"
	"testing"
	"time"
)

// simSteps is how many steps one seed takes before it comes to rest.
const simSteps = 1500

// TestSimulation runs the simulator. PARLEY_SEED=n begins with the seed n, and runs that one only, unless PARLEY_SEEDS says how
// many, as make sim does.
func TestSimulation(t *testing.T) {
	first, seeds := uint64(time.Now().UnixNano()), uint64(300)
	if testing.Short() {
		seeds = 30
	}
	if n, ok := simVariable(t, "PARLEY_SEED"); ok {
		first, seeds = n, 1
	}
	if n, ok := simVariable(t, "PARLEY_SEEDS"); ok {
		seeds = n
	}
	fmt.Printf("sim: PARLEY_SEED=%d PARLEY_SEEDS=%d\n", first, seeds)
	var count tally
	for i := range seeds {
		newSim(t, first+i, &count).run(simSteps)
	}
	if seeds < 300 {
		return
	}
	v := reflect.ValueOf(count)
	for i := range v.NumField() {
		if v.Field(i).Uint() == 0 {
			t.Errorf("in %d seeds there were no %s", seeds, v.Type().Field(i).Name)
		}
	}
	c := &count
	fmt.Printf("sim: %+v\n", count)
	fmt.Printf("sim: seeds=%d steps=%d cuts=%d attaches=%d replays=%d duplicates=%d stale_epochs=%d refused_attaches=%d aborts=%d\n",
		c.seeds, c.steps, c.cuts, c.attaches, c.replays, c.duplicates, c.staleEpochs, c.refusedAttaches, c.aborts)
}

// simVariable returns a number from the environment.
func simVariable(t *testing.T, name string) (uint64, bool) {
	text := os.Getenv(name)
	if text == "" {
		return 0, false
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n, true
}

// TestSimulationRepeats: a seed gives the same run each time, or it would be of no use.
func TestSimulationRepeats(t *testing.T) {
	for seed := range uint64(50) {
		var first, second tally
		a, b := newSim(t, seed, &first), newSim(t, seed, &second)
		a.run(simSteps)
		b.run(simSteps)
		if a.trace != b.trace || first != second {
			t.Errorf("two runs of seed %d differ", seed)
		}
	}
}
