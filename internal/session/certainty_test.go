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
	asks := s.End(bye)
	ended := bye.At(asks[0].Phase, asks[0].Execution)
	_, later := s.Post(asking("x", nil))
	for _, e := range []*endpoint.Error{ended, later} {
		told := endpoint.ErrorFromStatus(e.GRPCStatus().Proto())
		for _, e := range []*endpoint.Error{e, told} {
			if e.Reason != endpoint.ReasonEnvStopped || e.Phase != endpoint.PhaseQueued || e.Execution != endpoint.NotExecuted {
				t.Errorf("%v: reason %v, phase %v, %v; want queued, not executed", e, e.Reason, e.Phase, e.Execution)
			}
		}
	}
}
