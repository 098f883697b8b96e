// Package semantics has no code, only tests: the acceptance cases of Spark's RPC layer, restated for Parley. It uses the
// public packages only, as a program would.
//
// A test names the case that it covers: "T1 send a message locally". Where a case makes sense both ways, the same body
// runs with an endpoint of the same Env ("/local") and with one that a client-mode Env reaches over a loopback socket
// ("/remote"), and must find the same. `go test -json … | go run ./internal/casetable` makes a table of them.
//
// T1 to T36 are Spark's RpcEnvSuite, U1 to U5 its NettyRpcEnvSuite, H1 and H2 its NettyRpcHandlerSuite; package mailbox has
// B1 to B6, of its InboxSuite, and package endpoint D1 to D12, of its address suites. G1 to G18 are what those suites
// leave out:
//
//	G1  double reply                                    G10 two client-mode peers with the same endpoint name
//	G2  reply after the timeout                         G11 undecodable request and reply
//	G3  reply from another goroutine                    G12 64 MiB message while small asks run
//	G4  stop with asks queued                           G13 slow consumer with bounded memory
//	G5  endpoint stopped, Env stopped, unknown          G14 shutdown from inside a handler
//	G6  send to a missing endpoint                      G15 ask-self, and A asks B asks A
//	G7  order of sends and asks across the connect      G16 connect storm
//	G8  server restart on the same port                 G17 nothing is left after a test
//	G9  third-party Ref                                 G18 two endpoints flood each other
//
// With the flag -tls all of them run again with mutual TLS, as parts of the case V, which is Spark's SslNettyRpcEnvSuite. T26 to T31, Spark's authentication,
// SASL and AES, are tokens, TLS and mutual TLS here.
package semantics
