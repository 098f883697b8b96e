package peer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/parley-rpc/parley/bench/internal/workload"
)

// serveFlag is what a child of Start is told by, before the name of its System.
const serveFlag = "-serve"

// order is what a child is told to do, one JSON object at a time on its standard input. It answers each.
type order struct {
	Op      string
	Options Options // of opOpen
	N       int     // of opExpect
	Bytes   int     // of opExpect: the size of the payloads
}

// Operations of an order.
const (
	opOpen   = "open"
	opExpect = "expect"
	opWait   = "wait"
	opCheck  = "check"
	opUsage  = "usage"
)

// answer is what a child has done, on its standard output.
type answer struct {
	Address string        // of opOpen
	Used    time.Duration // of opUsage: the processor time of the child so far
	Failed  string        // the error, or empty
}

// Remote is a server in a child process, with its sink. Its methods are called one at a time. If the context of one ends before it is
// done, the child is killed.
type Remote struct {
	name    string
	address string
	command *exec.Cmd
	kill    context.CancelFunc
	orders  io.Closer // the standard input of the child, which ends with it
	encoder *json.Encoder
	output  io.Reader
	decoder *json.Decoder
}

// Start starts this program again, with the arguments "-serve NAME", and has it serve the System of that name. The program calls Child
// when it is started like that.
func Start(ctx context.Context, name string, o Options) (*Remote, error) {
	r, err := start(name)
	if err != nil {
		return nil, fmt.Errorf("starting a process for %s: %w", name, err)
	}
	a, err := r.do(ctx, order{Op: opOpen, Options: o})
	if err != nil {
		return nil, errors.Join(err, r.Close(ctx))
	}
	r.address = a.Address
	return r, nil
}

func start(name string) (*Remote, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	ctx, kill := context.WithCancel(context.Background())
	command := exec.CommandContext(ctx, program, serveFlag, name)
	command.Stderr = os.Stderr
	in, err := command.StdinPipe()
	if err != nil {
		kill()
		return nil, err
	}
	out, err := command.StdoutPipe()
	if err != nil {
		kill()
		return nil, errors.Join(err, in.Close())
	}
	if err := command.Start(); err != nil {
		kill()
		return nil, err
	}
	decoder := json.NewDecoder(out)
	return &Remote{name: name, command: command, kill: kill, orders: in, encoder: json.NewEncoder(in), output: out, decoder: decoder}, nil
}

// do has the child do something.
func (r *Remote) do(ctx context.Context, o order) (answer, error) {
	defer context.AfterFunc(ctx, r.kill)()
	var a answer
	err := r.encoder.Encode(o)
	if err == nil {
		err = r.decoder.Decode(&a)
	}
	if err == nil && a.Failed != "" {
		err = errors.New(a.Failed)
	}
	if err != nil {
		return a, fmt.Errorf("process of %s: %s: %w", r.name, o.Op, errors.Join(err, ctx.Err()))
	}
	return a, nil
}

// Address implements Server.
func (r *Remote) Address() string { return r.address }

// Expect begins a run of n of the messages, n > 0, at the sink of the child.
func (r *Remote) Expect(ctx context.Context, n int, messages *workload.Messages) error {
	_, err := r.do(ctx, order{Op: opExpect, N: n, Bytes: messages.Bytes()})
	return err
}

// Wait returns when all that is expected has been received, and reports what was wrong.
func (r *Remote) Wait(ctx context.Context) error {
	_, err := r.do(ctx, order{Op: opWait})
	return err
}

// Check implements Checker, for the server and its sink.
func (r *Remote) Check(ctx context.Context) error {
	_, err := r.do(ctx, order{Op: opCheck})
	return err
}

// ProcessorTime returns what the child has used so far, in user and kernel mode, or 0 where the system does not say.
func (r *Remote) ProcessorTime(ctx context.Context) (time.Duration, error) {
	a, err := r.do(ctx, order{Op: opUsage})
	return a.Used, err
}

// Close implements Server. It waits for the end of the child.
func (r *Remote) Close(ctx context.Context) error {
	defer r.kill()
	defer context.AfterFunc(ctx, r.kill)()
	err := r.orders.Close()
	if _, rest := io.Copy(io.Discard, r.output); rest != nil {
		err = errors.Join(err, rest)
	}
	if err = errors.Join(err, r.command.Wait()); err != nil {
		return fmt.Errorf("process of %s: %w", r.name, err)
	}
	return nil
}
