package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

var (
	errEarly    = errors.New("it has ended before its time")
	errPatience = errors.New("it takes too long")
)

// fleet is all processes, and what they have told last.
type fleet struct {
	ctx     context.Context // ends when a process has ended that should not, which is its cause
	fail    context.CancelCauseFunc
	running sync.WaitGroup // of the goroutines that watch processes
	changed chan struct{}  // has a signal after something was told

	processes []*process // in the order in which they were started

	mu      sync.Mutex
	told    map[string]*told // by the name of the process
	ending  bool             // processes may end
	unclean []error          // of processes that did not end well
}

// told is what a process has told.
type told struct {
	role      string
	listening string
	ready     bool
	ended     bool
	report    report
}

func newFleet(ctx context.Context) *fleet {
	f := &fleet{changed: make(chan struct{}, 1), told: make(map[string]*told)}
	f.ctx, f.fail = context.WithCancelCause(ctx)
	return f
}

// start starts a process.
func (f *fleet) start(role string, c memberConfig) error {
	p, err := startProcess(f.ctx, role, c)
	if p == nil {
		return &memberError{c.Name, err}
	}
	f.processes = append(f.processes, p)
	f.mu.Lock()
	f.told[p.name] = &told{role: role}
	f.mu.Unlock()
	f.running.Go(func() { f.ended(p, p.watch(func(e event) { f.take(p, e) })) })
	return err
}

// take notes an event.
func (f *fleet) take(p *process, e event) {
	f.mu.Lock()
	t := f.told[p.name]
	switch {
	case e.Listening != "":
		t.listening = e.Listening
	case e.Ready:
		t.ready = true
	case e.Report != nil && !t.report.Final: // a session that ends with the fleet must not vanish from the sums
		t.report = *e.Report
	}
	f.mu.Unlock()
	if e.Failed != "" {
		f.fail(&memberError{p.name, errors.New(e.Failed)})
	}
	f.signal()
}

// ended notes the end of a process.
func (f *fleet) ended(p *process, err error) {
	f.mu.Lock()
	early := !f.ending
	if early {
		err = errors.Join(errEarly, err)
	}
	if err != nil {
		err = &memberError{p.name, err}
		f.unclean = append(f.unclean, err)
	}
	f.told[p.name].ended = true
	f.mu.Unlock()
	if early {
		f.fail(err)
	}
	f.signal()
}

func (f *fleet) signal() {
	select {
	case f.changed <- struct{}{}:
	default:
	}
}

// await waits until what holds, which it looks at after everything that is told. The error is errPatience if patience ends
// first, or why the fleet has failed.
func (f *fleet) await(patience time.Duration, what func() bool) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		if what() {
			return nil
		}
		select {
		case <-f.changed:
		case <-timer.C:
			return errPatience
		case <-f.ctx.Done():
			return context.Cause(f.ctx)
		}
	}
}

// awaitAll waits until what holds of every process.
func (f *fleet) awaitAll(patience time.Duration, name string, what func(t *told) bool) error {
	err := f.await(patience, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, t := range f.told {
			if !what(t) {
				return false
			}
		}
		return true
	})
	if err != nil {
		return fmt.Errorf("waiting for all processes %s: %w", name, err)
	}
	return nil
}

// order gives an order to all.
func (f *fleet) order(do string) error {
	for _, p := range f.processes {
		if err := p.order(order{Do: do}); err != nil {
			return err
		}
	}
	return nil
}

// listening returns where a server listens.
func (f *fleet) listening(name string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.told[name].listening
}

// reports returns the last report of each process.
func (f *fleet) reports() map[string]report {
	f.mu.Lock()
	defer f.mu.Unlock()
	reports := make(map[string]report, len(f.told))
	for name, t := range f.told {
		reports[name] = t.report
	}
	return reports
}

// end ends all processes, clients before servers, and returns the errors of those that did not end well.
func (f *fleet) end() []error {
	f.mu.Lock()
	f.ending = true
	f.mu.Unlock()
	for _, role := range []string{roleClient, roleServer} {
		if err := f.endRole(role); err != nil {
			f.fail(err) // which kills them
		}
	}
	f.running.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.unclean
}

// endRole ends the processes of a role.
func (f *fleet) endRole(role string) error {
	for _, p := range f.processes {
		if p.role != role {
			continue
		}
		if err := p.order(order{Do: doEnd}); err != nil {
			return err
		}
	}
	return f.awaitAll(2*shutdownTimeout, "to end", func(t *told) bool { return t.role != role || t.ended })
}

// kill ends all processes at once.
func (f *fleet) kill() {
	f.mu.Lock()
	f.ending = true
	f.mu.Unlock()
	f.fail(context.Canceled)
	f.running.Wait()
}
