package main

import (
	"slices"

	"github.com/parley-rpc/parley/bench/internal/peer"
	"github.com/parley-rpc/parley/bench/internal/peer/drpcpeer"
	"github.com/parley-rpc/parley/bench/internal/peer/grpcpeer"
	"github.com/parley-rpc/parley/bench/internal/peer/hollywoodpeer"
	"github.com/parley-rpc/parley/bench/internal/peer/natspeer"
	"github.com/parley-rpc/parley/bench/internal/peer/parleypeer"
	"github.com/parley-rpc/parley/bench/internal/peer/protoactorpeer"
)

// Sizes of payloads.
const (
	small = 64
	large = 1 << 20
)

// What is measured.
var (
	parley     = parleypeer.System{}
	parleyStub = parleypeer.Stub
	parleyConc = parleypeer.Conc
	grpcUnary  = grpcpeer.Unary{}
	grpcStream = grpcpeer.Stream{}
)

// rival is a framework beside which Parley is measured by asks of 64 callers, by one-way sends, or by both. Its benchmarks are Ask64/NAME and
// Send/NAME, and the ratios ask64/NAME and send/NAME.
type rival struct {
	system peer.System
	ask64  float64 // the goal of the ratio; 0 if asks are not compared
	send   float64 // the goal of the ratio; 0 if sends are not compared
}

var rivals = []rival{
	{grpcUnary, 10, 0},
	{grpcStream, 0, 4},
	{drpcpeer.System{}, 8, 3.5},
	{hollywoodpeer.System{}, 8, 3.5},
	{protoactorpeer.System{}, 4.5, 2.8},
	{natspeer.System{}, 3.5, 1.8},
}

// systems returns all that a child process may be told to serve.
func systems() []peer.System {
	s := []peer.System{parley, parleyStub, parleyConc}
	for _, r := range rivals {
		s = append(s, r.system)
	}
	return s
}

// benchmarks returns what is measured, in the order of a round: what is compared is near each other. Those with x2 have the server in a
// process of its own; their allocations are the client's.
func benchmarks() []benchmark {
	asked := asks(64)
	askRivals := []benchmark{{"Ask64/parley", parley, here, small, asked}}
	sendRivals := []benchmark{{"Send/parley", parley, here, small, sends}}
	for _, r := range rivals {
		if r.ask64 != 0 {
			askRivals = append(askRivals, benchmark{"Ask64/" + r.system.Name(), r.system, here, small, asked})
		}
		if r.send != 0 {
			sendRivals = append(sendRivals, benchmark{"Send/" + r.system.Name(), r.system, here, small, sends})
		}
	}
	return slices.Concat([]benchmark{
		{"Ask1/parley", parley, here, small, asks(1)},
		{"Ask1/grpc-unary", grpcUnary, here, small, asks(1)},
		{"Ask1/grpc-stream-pingpong", grpcStream, here, small, asks(1)},
	}, askRivals, []benchmark{
		{"ConcAsk64/parley", parleyConc, here, small, asked},
		{"Stub64/parley", parleyStub, here, small, asked},
		{"AskPipe/parley", parley, here, small, pipelined},
		{"Ask512/parley", parley, here, small, asks(512)},
		{"Ask512/grpc-unary", grpcUnary, here, small, asks(512)},
		{"TLSAsk64/parley", parley, encrypted, small, asked},
		{"TLSAsk64/grpc-unary", grpcUnary, encrypted, small, asked},
		{"Ask1MiB/parley", parley, here, large, asks(1)},
		{"Ask1MiB/grpc-unary", grpcUnary, here, large, asks(1)},
	}, sendRivals, []benchmark{
		{"Ask64x2/parley", parley, apart, small, asked},
		{"Ask64x2/grpc-unary", grpcUnary, apart, small, asked},
		{"Sendx2/parley", parley, apart, small, sends},
		{"Sendx2/grpc-stream", grpcStream, apart, small, sends},
	})
}

// ratios returns what is compared.
func ratios() []ratio {
	r := []ratio{
		{"ask1/grpc-unary", "Ask1/parley", "Ask1/grpc-unary", 2},
		{"ask1/grpc-stream-pingpong", "Ask1/parley", "Ask1/grpc-stream-pingpong", 0.9},
		{"conc-ask64/grpc-unary", "ConcAsk64/parley", "Ask64/grpc-unary", 6},
		{"stub64/grpc-unary", "Stub64/parley", "Ask64/grpc-unary", 5},
		{"askpipe/grpc-unary", "AskPipe/parley", "Ask64/grpc-unary", 16},
		{"ask512/grpc-unary", "Ask512/parley", "Ask512/grpc-unary", 8},
		{"tls-ask64/tls-grpc-unary", "TLSAsk64/parley", "TLSAsk64/grpc-unary", 10},
		{"ask1MiB/grpc-unary", "Ask1MiB/parley", "Ask1MiB/grpc-unary", 1},
	}
	for _, v := range rivals {
		name := v.system.Name()
		if v.ask64 != 0 {
			r = append(r, ratio{"ask64/" + name, "Ask64/parley", "Ask64/" + name, v.ask64})
		}
		if v.send != 0 {
			r = append(r, ratio{"send/" + name, "Send/parley", "Send/" + name, v.send})
		}
	}
	return append(r,
		ratio{"two-ask64/grpc-unary", "Ask64x2/parley", "Ask64x2/grpc-unary", 0},
		ratio{"two-send/grpc-stream", "Sendx2/parley", "Sendx2/grpc-stream", 0},
	)
}

// budgets are of Parley's own allocations. Those of the user are 6 of an ask, as workload.Echo says, and 2 of a send, as workload.Messages says.
var budgets = []budget{
	{"ask1", "Ask1/parley", 6, 2},
	{"ask64", "Ask64/parley", 6, 2},
	{"conc-ask64", "ConcAsk64/parley", 6, 2},
	{"stub64", "Stub64/parley", 6, 2},
	{"askpipe", "AskPipe/parley", 6, 2},
	{"send", "Send/parley", 2, 1},
}

// footprints are those of Parley.
var footprints = []footprint{
	{"ask1", "Ask1/parley"},
	{"ask64", "Ask64/parley"},
	{"conc-ask64", "ConcAsk64/parley"},
	{"stub64", "Stub64/parley"},
	{"askpipe", "AskPipe/parley"},
	{"ask1MiB", "Ask1MiB/parley"},
	{"send", "Send/parley"},
}

// figures returns all that results are condensed to.
func figures() []figure {
	var all []figure
	for _, r := range ratios() {
		all = append(all, r)
	}
	for _, b := range budgets {
		all = append(all, b)
	}
	for _, f := range footprints {
		all = append(all, f)
	}
	return all
}
