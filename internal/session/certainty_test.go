package session

import (
	"testing"

	"github.com/parley-rpc/parley/endpoint"
)

// TestCertaintyAfterBye: the status of an error, which travels on, says the same as the error, whatever the peer's bye said.
func TestCertaintyAfterBye(t *testing.T) {
	bye := endpoint.ErrorFromStatus((&endpoint.Error{Reason: endpoint.ReasonEnvStopped, Text: "shut down"}).GRPCStatus().Proto())
	s := New(limited(), limited())
	if ok, err := s.Post(asking("x", nil)); !ok {
		t.Fatal(err)
	}
	_, errs := s.End(bye)
	_, later := s.Post(asking("x", nil))
	for phase, e := range map[endpoint.Phase]*endpoint.Error{endpoint.PhaseSent: errs[0], endpoint.PhaseQueued: later} {
		told := endpoint.ErrorFromStatus(e.GRPCStatus().Proto())
		for _, e := range []*endpoint.Error{e, told} {
			if e.Reason != endpoint.ReasonEnvStopped || e.Phase != phase || e.Execution != endpoint.NotExecuted {
				t.Errorf("%v: reason %v, phase %v, %v; want phase %v, not executed", e, e.Reason, e.Phase, e.Execution, phase)
			}
		}
	}
}
