package endpoint

import "google.golang.org/grpc/metadata"

// Unacknowledged is a send that its peer had not acknowledged when the session ended, so that it may be lost.
type Unacknowledged struct {
	// Peer is who it was for.
	Peer Peer
	// Endpoint and Method say what: the method in full, "package.Service/Method".
	Endpoint, Method string
	// Metadata is what the send carried.
	Metadata metadata.MD
	// Payload is the encoded message; nil if it was sent in chunks, the last of which had been written.
	Payload []byte
	// Execution is NotExecuted if the message was never written, or not wholly, and MayHaveExecuted otherwise.
	Execution Execution
	// Reason is why the session ended.
	Reason *Error
}
