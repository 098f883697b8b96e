package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// grpcurlProgram is grpcurl, among the programs. make grpcurl builds it.
const grpcurlProgram = "grpcurl"

// hiFrame is the only frame of a session by hand: an ask in JSON.
const hiFrame = `{"hello":{},"number":1,"envelopes":[{"ask":{"id":1,"target":{"endpoint":"%s","method":"sayhi.v1.SayHi/Hi"},"json":"{\"msg\":\"by grpcurl\"}"}}]}`

// grpcurl lists, describes and calls the SayHi server with grpcurl, which knows nothing of Parley.
func grpcurl(ctx context.Context, s *stage) error {
	if _, err := os.Stat(filepath.Join(s.bin, grpcurlProgram)); err != nil {
		return fmt.Errorf("there is no grpcurl among the programs: run make grpcurl: %w", err)
	}
	server, err := s.start("server", "server", "-addr", "localhost:"+strconv.Itoa(s.port))
	if err != nil {
		return err
	}
	address, err := server.find(ctx, "localhost:")
	if err != nil {
		return err
	}
	if err := server.expect(ctx, "start SayHiEndpoint"); err != nil {
		return err
	}
	const ok, notFound = 0, 64 + 5 // grpcurl's status for a code
	for _, use := range []struct {
		name, stdin string
		args        []string // the address comes behind the flags
		status      int
		lines       []string
	}{
		{"list", "", []string{"list"}, ok, []string{"grpc.health.v1.Health", "parley.v1.Parley", "sayhi.v1.SayHi"}},
		{"describe", "", []string{"describe", "sayhi.v1.SayHi"}, ok, []string{"rpc Hi ( .sayhi.v1.HiRequest ) returns ( .sayhi.v1.HiReply );"}},
		{"typed call", "", []string{"-d", `{"msg":"hi"}`, "sayhi.v1.SayHi/Hi"}, ok, []string{`"msg": "i am SayHi Server,hi"`}},
		{"failing call", "", []string{"-H", "parley-endpoint: nobody", "-d", "{}", "sayhi.v1.SayHi/Hi"}, notFound, []string{
			"Code: NotFound", "Message: could not find nobody", `"reason": "REASON_ENDPOINT_NOT_FOUND"`,
		}},
		// grpcurl half-closes when its input ends; the answer still comes, and then a good end.
		{"enveloped call", fmt.Sprintf(hiFrame, "say-hi-service"), []string{"-d", "@", "parley.v1.Parley/Connect"}, ok, []string{
			`"json": "{\"msg\":\"i am SayHi Server,by grpcurl\"}"`,
		}},
		{"failing enveloped call", fmt.Sprintf(hiFrame, "nobody"), []string{"-d", "@", "parley.v1.Parley/Connect"}, ok, []string{
			`"message": "could not find nobody"`, `"execution": "EXECUTION_NOT_EXECUTED"`,
		}},
	} {
		if err := s.grpcurl(ctx, address, use.name, use.stdin, use.status, use.lines, use.args...); err != nil {
			return err
		}
	}
	if err := server.interrupt(); err != nil {
		return err
	}
	return server.wait(ctx)
}

// packed returns a text without its white space.
func packed(text string) string { return strings.Join(strings.Fields(text), "") }

// grpcurl runs grpcurl, which must print the lines, and end with status.
func (s *stage) grpcurl(ctx context.Context, address, name, stdin string, status int, lines []string, args ...string) error {
	last := 0 // the first argument that is no flag
	for last < len(args) && strings.HasPrefix(args[last], "-") {
		last += 2
	}
	all := append([]string{"-plaintext"}, args[:last]...)
	cmd := exec.Command(filepath.Join(s.bin, grpcurlProgram), append(append(all, address), args[last:]...)...)
	cmd.Stdin = strings.NewReader(stdin)
	p, err := s.startCommand("grpcurl", cmd)
	if err != nil {
		return err
	}
	err = p.wait(ctx)
	if ctx.Err() != nil {
		return err
	}
	printed := packed(strings.Join(p.lines, "")) // protobuf's JSON has white space at random
	for _, line := range lines {
		if !strings.Contains(printed, packed(line)) {
			return fmt.Errorf("%s: grpcurl did not print %s", name, line)
		}
	}
	if cmd.ProcessState.ExitCode() != status {
		return fmt.Errorf("%s: grpcurl has ended with status %d, want %d: %w", name, cmd.ProcessState.ExitCode(), status, err)
	}
	return nil
}
