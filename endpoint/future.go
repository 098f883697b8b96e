package endpoint

import (
	"context"
	"log/slog"
	"runtime/debug"
)

// Future is the reply to an ask, which may not have come yet. Its methods may be called concurrently.
type Future[Res any] struct {
	ask   awaited
	reply *Res  // set when the outcome has been taken
	err   error // like reply
}

func newFuture[Res any](core *methodCore) *Future[Res] {
	return &Future[Res]{ask: awaited{core: core}}
}

// Done returns a channel that is closed when the outcome is there and Wait does not wait any more.
func (f *Future[Res]) Done() <-chan struct{} { return f.ask.over.Done() }

// Wait waits for the reply, until ctx ends. A reply that is there is returned even if ctx has ended. The end of this ctx
// ends the wait only; the ask itself goes on until the context that it was made with ends. Every call of Wait gives the
// same reply or error.
//
// Errors: those of Send; ErrTimeout and ErrCancelled by either context; ErrEndpointNotFound, ErrEndpointStopped,
// ErrMethodNotFound, ErrPanic, ErrUndecodable, ErrSelfAsk; and whatever the handler answered, whose status
// status.FromError gives.
func (f *Future[Res]) Wait(ctx context.Context) (*Res, error) {
	a := &f.ask
	if !a.over.IsSet() && a.core.caller.WaitsForItself(ctx) {
		e := errSelfAsk()
		e.Phase, e.Execution = PhaseSent, MayHaveExecuted // its turn comes when this handler has returned
		return nil, a.core.describe(e, verbAsk, a.started)
	}
	if err := a.wait(ctx, verbAsk); err != nil {
		return nil, err
	}
	return f.result()
}

// OnComplete calls fn with the outcome, once, on a goroutine of its own, when it is there. The Env waits for fn when it
// shuts down. A panic of fn ends fn only: it is logged by slog.Default(), with its stack. So is one of the reply's decoding, of which fn gets an error.
//
// Where there is no Env, because the Method is a fake of MethodFunc or is not bound, fn is called before OnComplete returns,
// by its caller, who gets the panic, too.
func (f *Future[Res]) OnComplete(fn func(*Res, error)) {
	core := f.ask.core
	if core == nil || core.caller == nil { // it has failed, or is a fake's: there is no Env, and nothing to wait for
		fn(f.result())
		return
	}
	core.caller.Go(func() {
		<-f.ask.over.Done() // every ask completes: at the latest by its deadline, or by the end of the Env
		f.guarded("the decoding of a reply", func() { f.result() })
		f.guarded("a function of OnComplete", func() { fn(f.result()) })
	})
}

// guarded runs what, and logs it if that panics.
func (f *Future[Res]) guarded(what string, run func()) {
	defer func() {
		if v := recover(); v != nil {
			slog.Error("parley: "+what+" panicked", "method", f.ask.core.name, "panic", v, "stack", string(debug.Stack()))
		}
	}()
	run()
}

// result returns the outcome of a future that is done.
func (f *Future[Res]) result() (*Res, error) {
	f.ask.take(func(c *call) {
		decoded := false
		defer func() {
			if !decoded { // who waits for it at this moment gets the panic, and all others an error
				f.err = c.replyError(ReasonUndecodable, "reply: to decode it has panicked", nil)
			}
		}()
		v, err := c.outcome()
		decoded = true
		if err != nil {
			f.err = err
			return
		}
		f.reply = v.(*Res)
	})
	return f.reply, f.err
}

// settle gives a future the outcome of a fake.
func (f *Future[Res]) settle(v any, err error) {
	f.ask.taking.Do(func() { f.reply, f.err = v.(*Res), err })
	f.ask.over.Set()
}
