// Package link drives a session over gRPC streams: it reads frames and hands on what they mean, writes what the session
// has to say, waits for room where the session has none, and ends everything when the session ends.
//
// A link has a goroutine that reads, and one that writes while there is something to write and for a moment after that. On the listening side
// the gRPC handler is neither: it waits, because only its return breaks a stream that is stuck. Whoever starts a link waits for its end with Wait.
package link
