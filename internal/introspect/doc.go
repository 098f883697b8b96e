// Package introspect serves parley.v1.Introspection, and gRPC's channelz, behind an authorization. It looks at an Env from outside: no mailbox and no
// handler is between.
package introspect
