package endpoint

import (
	"strconv"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// maxQuoted is how many bytes of an offending text an error repeats: a peer chooses the text, and errors end up in logs.
const maxQuoted = 300

// invalidError says that a text given by a user or a peer is not what it should be. errors.Is(err, ErrInvalid) holds.
type invalidError struct {
	what   string // the kind of text, such as "address"
	text   string // the offending text, shortened
	reason string
}

func newInvalidError(what, text, reason string) error {
	return &invalidError{what: what, text: shorten(text), reason: reason}
}

func (e *invalidError) Error() string {
	return "parley: invalid " + e.what + " " + strconv.Quote(e.text) + ": " + e.reason
}

func (e *invalidError) Is(target error) bool { return target == ErrInvalid }

// GRPCStatus makes it INVALID_ARGUMENT for the asker of a handler that returns it.
func (e *invalidError) GRPCStatus() *status.Status {
	return status.New(codes.InvalidArgument, e.Error())
}

func shorten(text string) string {
	if len(text) > maxQuoted {
		return text[:maxQuoted] + "…"
	}
	return text
}
