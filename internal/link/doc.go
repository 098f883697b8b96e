// Package link drives a session over gRPC streams: it reads frames and hands on what they mean, writes what the session
// has to say, waits for room where the session has none, and ends everything when the session ends.
//
// A link has two goroutines, a reader and a writer. On the listening side the gRPC handler is neither: it waits, because
// only its return breaks a stream that is stuck. Whoever starts a link waits for its end with Wait.
package link
