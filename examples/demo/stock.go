package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
)

// What the scenario stock needs: interpreters that find the packages of examples/stock, and the root of the tree. make stock sets them.
const (
	pythonVariable = "PARLEY_PYTHON"
	nodeVariable   = "PARLEY_NODE"
	rootVariable   = "PARLEY_ROOT"
)

// stock says hi to the SayHi server from other languages, without any library of Parley.
func stock(ctx context.Context, s *stage) error {
	root, python, node := os.Getenv(rootVariable), os.Getenv(pythonVariable), os.Getenv(nodeVariable)
	if root == "" || python == "" || node == "" {
		return fmt.Errorf("%s, %s and %s must be set: run make stock", rootVariable, pythonVariable, nodeVariable)
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
	for _, program := range []struct {
		interpreter, file string
		lines             []string
	}{
		{python, "hi.py", []string{"reply: i am SayHi Server,hi , i am Python", "error: NOT_FOUND could not find nobody"}},
		{node, "hi.js", []string{"reply: i am SayHi Server,hi , i am Node"}},
		{python, "connect.py", []string{"welcome: revision 1", "reply: i am SayHi Server,hi , by hand", "end: OK"}},
	} {
		p, err := s.startCommand(program.file, exec.Command(program.interpreter, root+"/examples/stock/"+program.file, address, root+"/api"))
		if err != nil {
			return err
		}
		if err := p.expect(ctx, program.lines...); err != nil {
			return err
		}
		if err := p.wait(ctx); err != nil {
			return err
		}
	}
	if err := server.interrupt(); err != nil {
		return err
	}
	return server.wait(ctx)
}
