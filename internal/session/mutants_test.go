package session

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// edit replaces a text that is once in a file of this package.
type edit struct{ file, old, mutated string }

// TestMutants breaks the protocol in twelve ways that a test could overlook, and runs the simulator over each: it has to fail,
// where without a change it does not. A mutant is the real source with a line or two replaced, which go test compiles from an
// overlay; if a line is not there any more, the mutant has to follow it.
func TestMutants(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the package twelve times")
	}
	for _, mutant := range []struct {
		name  string
		edits []edit
	}{
		{"none", nil},
		{"ack the highest instead of the contiguous", []edit{{
			"incoming.go",
			"\tcase h.Number != in.received+1:\n\t\treturn nil, gap(in.received+1, h.Number)\n",
			"\tcase h.Number != in.received+1:\n\t\tin.received = h.Number\n\t\treturn nil, gap(in.received+1, h.Number)\n",
		}}},
		{"no de-duplication", []edit{{
			"incoming.go",
			"\tcase h.Number <= in.received:\n\t\ts.counters.Duplicates++\n\t\treturn nil, nil\n\tcase h.Number != in.received+1:\n",
			"\tcase h.Number > in.received+1:\n",
		}}},
		{"stale epoch accepted", []edit{{ // package link has the real check; the simulator's is that of its model
			"sim_link_test.go",
			"\tcase h.epoch <= e.epoch:\n",
			"\tcase false:\n",
		}}},
		{"credit as increments", []edit{{
			"event.go",
			"\tdirty    bool        // in outgoing.dirty\n",
			"\tdirty    bool        // in outgoing.dirty\n\tstatedMessages, statedBytes uint64\n",
		}, {
			"outgoing.go",
			"\t\tmessages, bytes := a.grant.Totals()\n",
			"\t\tmessages, bytes := a.grant.Totals()\n" +
				"\t\tmessages, a.statedMessages = messages-max(a.statedMessages, s.own.MailboxMessages), messages\n" +
				"\t\tbytes, a.statedBytes = bytes-max(a.statedBytes, s.own.MailboxBytes), bytes\n",
		}, {
			"incoming.go",
			"\t\tcurrent = a.window.Raise(c.Messages, c.Bytes)\n",
			"\t\ta.window.Refund(c.Messages, c.Bytes)\n",
		}}},
		{"replay off by one", []edit{{
			"replay.go",
			"\tr.detached, r.next = false, 0\n",
			"\tr.detached, r.next = false, min(1, len(r.kept))\n",
		}}},
		{"cancel before its ask", []edit{{
			"ask.go",
			"\t\ts.withdraw(id, a.account)\n",
			"\t\topen := s.out.open\n\t\ts.out.open = batch{}\n\t\ts.append(&wire.Envelope{Kind: wire.KindCancel, ID: id})\n" +
				"\t\ts.out.ready, s.out.open = append([]batch{s.out.open}, s.out.ready...), open\n",
		}}},
		{"partial message lost", []edit{{
			"replay.go",
			"\tr.detached, r.next = false, 0\n",
			"\tr.detached, r.next = false, 0\n\ts.in.transfers = nil\n",
		}}},
		{"an end that passes a large message", []edit{{
			"stream.go",
			"\tcase st.out.transfer != nil:\n\t\tst.last = last\n",
			"\tcase false:\n",
		}}},
		{"a window of nobody's call", []edit{{
			"stream.go",
			"ID: st.id, FromCallee: st.callee, WindowBytes: bytes",
			"ID: st.id, WindowBytes: bytes",
		}}},
		{"a withdrawn call keeps its credit", []edit{{
			"stream.go",
			"\t\t\t\taccount.window.Discharge(1, cost)\n",
			"",
		}}},
		{"a chunk that counts when it is acknowledged", []edit{{
			"replay.go",
			"\t\t\tp.ahead -= chunk.body\n",
			"",
		}}},
		{"head retained", []edit{{
			"outgoing.go",
			"\t\to.replay.keep(kept{number: o.number, frame: frame, body: body, chunk: chunk, ready: ready})\n",
			"\t\to.replay.keep(kept{number: o.number, frame: frame, body: len(frame.Bytes), chunk: chunk, ready: ready})\n",
		}}},
	} {
		t.Run(mutant.name, func(t *testing.T) {
			out, err := simulate(t, mutant.edits)
			caught := failedSeed.FindStringSubmatch(out)
			switch {
			case len(mutant.edits) == 0 && err != nil:
				t.Fatalf("the simulator fails as it is: %v\n%s", err, out)
			case len(mutant.edits) > 0 && (err == nil || caught == nil):
				t.Fatalf("the simulator did not catch it: %v\n%s", err, out)
			case len(mutant.edits) > 0:
				t.Logf("caught: %.300s", caught[1])
			}
		})
	}
}

// failedSeed is how the simulator says what went wrong.
var failedSeed = regexp.MustCompile(`_test\.go:\d+: (PARLEY_SEED=\d+ after .*)`)

// simulate runs the simulator for some seeds over this package with these edits, and returns what it says.
func simulate(t *testing.T, edits []edit) (string, error) {
	return testOver(t, edits, "^TestSimulation$", ".")
}

// testOver runs the tests of that name of a package over these edits.
func testOver(t *testing.T, edits []edit, name, pkg string) (string, error) {
	run := exec.Command("go", "test", "-overlay", overlaid(t, edits), "-vet=off", "-count=1", "-run="+name, pkg)
	run.Env = append(os.Environ(), "PARLEY_SEED=1", "PARLEY_SEEDS=200")
	out, err := run.CombinedOutput()
	return string(out), err
}

// TestMutantsOfLink does the same to what package link has of the protocol, which the simulator only models.
func TestMutantsOfLink(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles a package twice")
	}
	for _, mutant := range []struct {
		name, test string
		edit       edit
	}{
		{"stale epoch accepted", "^TestRefusedAttach$", edit{"../link/attach.go", "\tcase a.GetEpoch() <= l.epoch:\n", "\tcase false:\n"}},
		{"readers out of order", "^TestReadersHandOnInOrder$", edit{"../link/carrier.go", "\tif !l.reading {\n", "\tl.toRead = nil\n\tl.goes(f)\n\tif false {\n"}},
	} {
		t.Run(mutant.name, func(t *testing.T) {
			if out, err := testOver(t, nil, mutant.test, "../link"); err != nil || strings.Contains(out, "no tests to run") {
				t.Fatalf("%s fails as it is: %v\n%s", mutant.test, err, out)
			}
			if out, err := testOver(t, []edit{mutant.edit}, mutant.test, "../link"); err == nil || !strings.Contains(out, "--- FAIL") {
				t.Fatalf("%s did not catch it: %v\n%s", mutant.test, err, out)
			}
		})
	}
}

// overlaid writes the files of this package with these edits, and returns the path of the overlay for go test.
func overlaid(t *testing.T, edits []edit) string {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	replaced := map[string]string{}
	for _, e := range edits {
		path := filepath.Join(here, e.file)
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(source), e.old); n != 1 {
			t.Fatalf("%s has %d times what the mutant replaces:\n%s", e.file, n, e.old)
		}
		replaced[path] = filepath.Join(dir, filepath.Base(e.file))
		if err := os.WriteFile(replaced[path], []byte(strings.Replace(string(source), e.old, e.mutated, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
