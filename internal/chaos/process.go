package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"time"
)

// killDelay is how long the pipes of a process that was killed may stay open.
const killDelay = 2 * time.Second

// process is a member as the driver sees it.
type process struct {
	name   string
	role   string
	cmd    *exec.Cmd
	stdin  io.Closer
	orders *json.Encoder
	events *json.Decoder
}

// startProcess starts this program again in a role. It is killed when ctx ends, and ends by itself when the driver is gone.
func startProcess(ctx context.Context, role string, c memberConfig) (*process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, role)
	cmd.Stderr = os.Stderr
	cmd.WaitDelay = killDelay
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{name: c.Name, role: role, cmd: cmd, stdin: stdin, orders: json.NewEncoder(stdin), events: json.NewDecoder(stdout)}
	return p, p.order(order{Do: doOpen, Member: &c})
}

// order gives an order.
func (p *process) order(o order) error {
	if err := p.orders.Encode(o); err != nil {
		return &memberError{p.name, err}
	}
	return nil
}

// watch calls f with every event until the process ends, and returns why it did; nil if it ended well.
func (p *process) watch(f func(event)) error {
	var read error
	for {
		var e event
		if read = p.events.Decode(&e); read != nil {
			break
		}
		f(e)
	}
	if errors.Is(read, io.EOF) {
		read = nil
	}
	_ = p.stdin.Close() // it fails if the process has ended
	return errors.Join(read, p.cmd.Wait())
}
