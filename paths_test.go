package parley_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/stats"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/internal/leaktest"
)

// ranCounts counts what has run in one Env. The streams that carry all messages do not count.
type ranCounts struct {
	mu   sync.Mutex
	runs map[string]int // by what the table calls it
}

func (c *ranCounts) count(what, method string) {
	if method == "/parley.v1.Parley/Connect" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.runs[what]++
}

// take returns what has run since the last time.
func (c *ranCounts) take() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	runs := c.runs
	c.runs = map[string]int{}
	return runs
}

// runsHandler is a stats.Handler that counts calls.
type runsHandler struct {
	*ranCounts
	name  string
	ended chan struct{}
}

func (h runsHandler) TagRPC(ctx context.Context, info *stats.RPCTagInfo) context.Context {
	h.count(h.name, info.FullMethodName)
	return ctx
}

func (h runsHandler) HandleRPC(_ context.Context, s stats.RPCStats) {
	if _, ok := s.(*stats.End); ok && h.ended != nil {
		h.ended <- struct{}{}
	}
}

func (runsHandler) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (runsHandler) HandleConn(context.Context, stats.ConnStats)                       {}

// options returns all that counts. ended gets every end of a call at its server side.
func (c *ranCounts) options(ended chan struct{}) []parley.Option {
	unary := func(name string) grpc.UnaryServerInterceptor {
		return func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			c.count(name, info.FullMethod)
			return handler(ctx, req)
		}
	}
	stream := func(name string) grpc.StreamServerInterceptor {
		return func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			c.count(name, info.FullMethod)
			return handler(srv, stream)
		}
	}
	return []parley.Option{
		parley.WithUnaryInterceptors(unary("WithUnaryInterceptors")),
		parley.WithStreamInterceptors(stream("WithStreamInterceptors")),
		parley.WithStatsHandlers(runsHandler{c, "WithStatsHandlers", ended}),
		parley.WithUnaryClientInterceptors(func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			c.count("WithUnaryClientInterceptors", method)
			return invoke(ctx, method, req, reply, cc, opts...)
		}),
		parley.WithStreamClientInterceptors(func(ctx context.Context, desc *grpc.StreamDesc, cc *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
			c.count("WithStreamClientInterceptors", method)
			return open(ctx, desc, cc, method, opts...)
		}),
		parley.WithClientStatsHandlers(runsHandler{ranCounts: c, name: "WithClientStatsHandlers"}),
		parley.WithServerOptions(
			grpc.ChainUnaryInterceptor(unary("unary of the server")), grpc.ChainStreamInterceptor(stream("stream of the server")),
			grpc.StatsHandler(runsHandler{ranCounts: c, name: "stats of the server"}),
		),
	}
}

// pathTable returns the table of docs/grpc.md that TestInterceptorTable holds the code to: the cells of each way, by the column's title.
func pathTable(t *testing.T) map[string]map[string]string {
	t.Helper()
	text, err := os.ReadFile("docs/grpc.md")
	if err != nil {
		t.Fatal(err)
	}
	cells := func(line string) []string {
		all := strings.Split(strings.Trim(line, "|"), "|")
		for i := range all {
			all[i] = strings.ReplaceAll(strings.TrimSpace(all[i]), "`", "")
		}
		return all
	}
	table := map[string]map[string]string{}
	var titles []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case titles == nil && !strings.HasPrefix(line, "| the call comes |"):
		case !strings.HasPrefix(line, "|"):
			return table
		case titles == nil:
			titles = cells(line)
		case !strings.HasPrefix(line, "| ---"):
			row := map[string]string{}
			for i, cell := range cells(line) {
				row[titles[i]] = cell
			}
			table[row[titles[0]]] = row
			delete(row, titles[0])
		}
	}
	return table
}

// kinds is a stock server of a unary and of a streaming method.
type kinds struct{ streamer }

func (*kinds) UnaryCall(context.Context, *grpc_testing.SimpleRequest) (*grpc_testing.SimpleResponse, error) {
	return &grpc_testing.SimpleResponse{}, nil
}

// TestInterceptorTable holds the code to the table in docs/grpc.md: what runs how often for one unary message, and for one streaming call, on every path. None is bypassed.
func TestInterceptorTable(t *testing.T) {
	leaktest.Check(t)
	want := pathTable(t)
	tallies := map[string]*ranCounts{}
	ended := make(chan struct{}, 10)
	made := func(name string) []parley.Option {
		tallies[name] = &ranCounts{runs: map[string]int{}}
		return tallies[name].options(ended)
	}
	host, err := parley.Listen("127.0.0.1:0", made("host")...)
	if err != nil {
		t.Fatal(err)
	}
	behind, err := parley.New(made("behind")...)
	if err != nil {
		t.Fatal(err)
	}
	caller, err := parley.New(made("caller")...)
	if err != nil {
		t.Fatal(err)
	}
	grpc_testing.RegisterTestServiceServer(host.Endpoint("kinds"), &kinds{})
	grpc_testing.RegisterTestServiceServer(behind.Endpoint("kinds"), &kinds{})
	for _, env := range []*parley.Env{behind, caller} { // opens the sessions
		if _, err := env.Lookup(soon(t), "parley://kinds@"+host.Address(), ""); err != nil {
			t.Fatal(err)
		}
	}
	hosted, _ := endpoint.NewRef("kinds", host.Address())
	clientHosted, _ := endpoint.NewClientRef("kinds", behind.ID())
	relayed, _ := clientHosted.WithVia(host.Address())
	cc, err := grpc.NewClient(host.Address(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	over := func(env *parley.Env, ref endpoint.Ref) grpc.ClientConnInterface {
		conn, err := env.Conn(ref)
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	ways := map[string]struct {
		conn           grpc.ClientConnInterface
		client, server string // the Envs that make and that handle the call
	}{
		"from a peer, by its address":              {over(caller, hosted), "caller", "host"},
		"from a peer, to one that has no listener": {over(host, clientHosted), "host", "behind"},
		"through a relay":                          {over(caller, relayed), "caller", "behind"},
		"from the Env itself":                      {over(host, hosted), "host", "host"},
		"as an ordinary gRPC call":                 {cc, "", "host"},
	}
	for name, way := range ways {
		t.Run(name, func(t *testing.T) {
			stub := grpc_testing.NewTestServiceClient(way.conn)
			got := map[string][2]int{} // for the unary message and for the streaming call
			run := func(i int, call func()) {
				for _, c := range tallies {
					c.take()
				}
				call()
				<-ended
				for role, c := range tallies {
					for what, n := range c.take() {
						if client := strings.Contains(what, "Client"); client && role != way.client || !client && role != way.server {
							t.Errorf("%s has run %d times in the Env %s", what, n, role)
						}
						cell := got[what]
						cell[i] = n
						got[what] = cell
					}
				}
			}
			run(0, func() {
				if _, err := stub.UnaryCall(soon(t), &grpc_testing.SimpleRequest{}); err != nil {
					t.Error(err)
				}
			})
			run(1, func() {
				stream, err := stub.FullDuplexCall(soon(t))
				if err != nil {
					t.Fatal(err)
				}
				if err := stream.CloseSend(); err != nil {
					t.Error(err)
				}
				if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
					t.Error(err)
				}
			})
			for what, cell := range want[name] {
				if n := got[what]; fmt.Sprintf("%d, %d", n[0], n[1]) != cell {
					t.Errorf("%s: %v, and the table says %s", what, n, cell)
				}
				delete(got, what)
			}
			if len(got) > 0 {
				t.Errorf("the table does not tell of %v", got)
			}
		})
	}
	for name := range want {
		if _, ok := ways[name]; !ok {
			t.Errorf("the table has a row %q that is not tested", name)
		}
	}
	if err := cc.Close(); err != nil {
		t.Error(err)
	}
	end(t, caller, behind, host)
}
