//go:build !linux

package load

// newWaiter returns a waiter, and what it is released with.
func newWaiter() (wait waiter, release func() error, err error) {
	return waitTimer, func() error { return nil }, nil
}
