package endpoint

import "fmt"

// PanicError is what OnError gets of a callback or handler that panicked. The asker, if there is one, gets ErrPanic with the value but not
// the stack.
type PanicError struct {
	// Value is what was passed to panic.
	Value any
	// Stack is the goroutine's stack, as by runtime/debug.Stack.
	Stack []byte
	// During is the full method, or the name of the callback.
	During string
}

// Error returns the value and where it was raised.
func (e *PanicError) Error() string { return fmt.Sprintf("parley: panic in %s: %v", e.During, e.Value) }

// Unwrap returns the value if it is an error.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
