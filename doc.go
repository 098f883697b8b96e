// Package parley lets programs talk through named endpoints that are described in .proto files. One bidirectional gRPC
// stream between two programs carries the messages of all their endpoints, both ways. A generated Ref gives typed Send
// (one way), Ask (a future) and AskSync.
//
// It is Spark's RpcEnv, RpcEndpoint and RpcEndpointRef, made typed and bounded, on stock gRPC.
//
// An Env is a program's membership. Listen makes one that others can dial, New one that only dials; both can host
// endpoints, for a session works both ways whoever opened it. The vocabulary, and what handlers can do, is in package
// endpoint.
package parley
