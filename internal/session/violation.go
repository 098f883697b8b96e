package session

import (
	"fmt"

	"google.golang.org/grpc/codes"
)

// Violation is what a peer did against the protocol. It ends the session, or only the stream.
type Violation struct {
	// Row is the row of the table of abnormal conditions in docs/protocol.md.
	Row string
	// Code is the status code with which the stream ends.
	Code codes.Code
	// Text is for people.
	Text string
	// Stream says that only the stream ends, if the session outlives it.
	Stream bool
}

// Error implements error.
func (v *Violation) Error() string {
	return fmt.Sprintf("parley: protocol violation (%s): %s", v.Row, v.Text)
}

func violation(row string, code codes.Code, format string, args ...any) *Violation {
	return &Violation{Row: row, Code: code, Text: fmt.Sprintf(format, args...)}
}
