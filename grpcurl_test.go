package parley_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/parley-rpc/parley"
	"github.com/parley-rpc/parley/endpoint"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
)

// grpcurlEndpoint is said hi to by grpcurl, and tells when a session is over.
type grpcurlEndpoint struct {
	sayhiv1parley.UnimplementedSayHi
	over chan endpoint.Peer
}

func (g grpcurlEndpoint) OnDisconnected(_ context.Context, peer endpoint.Peer) { g.over <- peer }

func (grpcurlEndpoint) Hi(_ context.Context, req *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
	return &sayhiv1.HiReply{Msg: "i am SayHi Server," + req.GetMsg()}, nil
}

// grpcurl runs grpcurl, built as tools/go.mod pins it, and returns its output. It must exit with status 0.
func grpcurl(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	stdout, stderr, err := runGrpcurl(t, stdin, args...)
	if err != nil {
		t.Fatalf("grpcurl %s: %v\n%s%s", strings.Join(args, " "), err, stdout, stderr)
	}
	return stdout
}

// runGrpcurl runs grpcurl, whatever it says.
func runGrpcurl(t *testing.T, stdin string, args ...string) (stdout, stderr string, err error) {
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"tool", "-modfile=tools/go.mod", "grpcurl", "-plaintext"}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// TestGrpcurl shows that an Env is a gRPC server like any other: it can be listed and described, and one call of Connect
// with JSON gets a readable answer and leaves nothing behind.
func TestGrpcurl(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute) // grpcurl may have to be built
	defer cancel()
	env, err := parley.Listen("localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := env.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	over := make(chan endpoint.Peer, 8)
	if _, err := sayhiv1parley.RegisterSayHi(ctx, env, "say-hi-service", grpcurlEndpoint{over: over}); err != nil {
		t.Fatal(err)
	}

	t.Run("list", func(t *testing.T) {
		got := strings.Fields(grpcurl(t, "", env.Address(), "list"))
		want := []string{"grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection", "parley.v1.Parley", "sayhi.v1.SayHi"}
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})

	t.Run("describe", func(t *testing.T) {
		got := grpcurl(t, "", env.Address(), "describe", "parley.v1.Parley")
		if want := "rpc Connect ( stream .parley.v1.Frame ) returns ( stream .parley.v1.Frame );"; !strings.Contains(got, want) {
			t.Errorf("got\n%swant a line with %q", got, want)
		}
	})

	t.Run("health", func(t *testing.T) {
		got := grpcurl(t, "", env.Address(), "grpc.health.v1.Health/Check")
		if !strings.Contains(got, `"SERVING"`) {
			t.Errorf("got %s, want SERVING", got)
		}
	})

	t.Run("typed call", func(t *testing.T) {
		got := strings.Join(strings.Fields(grpcurl(t, "", "-d", `{"msg":"hi"}`, env.Address(), "sayhi.v1.SayHi/Hi")), " ")
		if want := `{ "msg": "i am SayHi Server,hi" }`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	})

	for _, c := range []struct{ name, endpoint, want string }{
		{"ask", "say-hi-service", `{"id":"1","json":"{\"msg\":\"i am SayHi Server,hi\"}"}`},
		{"ask of nobody", "nobody", `{"id":"1","status":{"code":5,"message":"could not find nobody","details":[{` +
			`"@type":"type.googleapis.com/parley.v1.Failure","execution":"EXECUTION_NOT_EXECUTED","phase":"PHASE_SENT","reason":"REASON_ENDPOINT_NOT_FOUND"}]}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := grpcurlAsk(t, env.Address(), c.endpoint); got != c.want {
				t.Errorf("got the reply\n%s\nwant\n%s", got, c.want)
			}
			select {
			case <-over:
			case <-ctx.Done():
				t.Fatal("the session of grpcurl lives on")
			}
			if got := env.Counters(); got.Sessions != 0 || got.OpenAsks != 0 {
				t.Errorf("%+v is left behind, want no session and no ask", got)
			}
		})
	}
}

// grpcurlAsk asks an endpoint to say hi in one call of Connect, with the least hello, and returns the reply as it is printed,
// without white space.
func grpcurlAsk(t *testing.T, address, name string) string {
	t.Helper()
	frame := `{"hello":{}, "number":1, "envelopes":[{"ask":{"id":1, "target":{"endpoint":"` + name +
		`", "method":"sayhi.v1.SayHi/Hi"}, "json":"{\"msg\":\"hi\"}"}}]}`
	frames := json.NewDecoder(strings.NewReader(grpcurl(t, frame, "-d", "@", address, "parley.v1.Parley/Connect")))
	for {
		var f struct {
			Envelopes []struct{ Reply json.RawMessage }
		}
		if err := frames.Decode(&f); err != nil {
			t.Fatalf("no frame with a reply: %v", err)
		}
		for _, e := range f.Envelopes {
			var compact bytes.Buffer
			if err := json.Compact(&compact, e.Reply); err != nil {
				t.Fatal(err)
			}
			return compact.String()
		}
	}
}
