package load

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// newWaiter returns a waiter, and what it is released with. It is for one goroutine.
//
// The timers of Go are late by up to a millisecond on Linux while the process is idle, since the runtime waits in whole milliseconds: more
// than the latencies to be measured. A timer that is a file wakes it in some 50 µs, and costs neither a thread nor busy waiting. Its read
// deadline is a timer of Go, which is the earlier one while the process is so busy that it seldom asks for files.
func newWaiter() (wait waiter, release func() error, err error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, nil, fmt.Errorf("load: create a timer: %w", err)
	}
	f := os.NewFile(uintptr(fd), "timer")
	return func(ctx context.Context, until time.Time) { waitFile(ctx, fd, f, until) }, f.Close, nil
}

func waitFile(ctx context.Context, fd int, f *os.File, until time.Time) {
	d := time.Until(until)
	if d <= 0 {
		return
	}
	arm := func() error {
		if err := f.SetReadDeadline(until); err != nil {
			return err
		}
		return unix.TimerfdSettime(fd, 0, &unix.ItimerSpec{Value: unix.NsecToTimespec(int64(d))}, nil)
	}
	if arm() != nil {
		waitTimer(ctx, until)
		return
	}
	stop := context.AfterFunc(ctx, func() {
		// It fails only if the file is closed, and then nobody waits.
		_ = f.SetReadDeadline(time.Unix(1, 0))
	})
	defer stop()
	var expirations [8]byte
	// Whether the timer or the deadline woke it is all the same.
	_, _ = f.Read(expirations[:])
}
