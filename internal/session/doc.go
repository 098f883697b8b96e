// Package session is the protocol of Parley as a state machine: frame numbers, acknowledgements, routes, windows, chunks
// and pending asks of one session, from one side. docs/protocol.md is its specification.
//
// It is pure: no goroutine, no clock, no I/O, no lock. Its owner (package link) holds a lock around every call, tells it the
// time, gives it the frames that arrive and writes those that NextFrame makes.
package session
