// Package server hosts endpoints by name, each behind a mailbox, and takes the streams of peers on a
// grpc.ServiceRegistrar. It knows nothing of dialling; package client does that, and package parley joins the two. Most
// programs use package parley only.
//
// # Goroutines
//
// An endpoint has a goroutine only while it has messages to handle (internal/mailbox). A stream has a reader and a writer
// (internal/link), which its gRPC handler waits for.
package server
