// Package endpoint is the vocabulary of Parley: where an endpoint is (Ref), how to talk to it (Method, Future), what
// goes wrong (Error), what a handler can learn and do (Release, Self, Sender, Bind) and which callbacks an endpoint may
// have (Starter, Stopper and the rest). Generated code and the packages client and server share it.
//
// It starts no goroutine and opens no connection. Programs get an Env from package parley
// (github.com/parley-rpc/parley) and Refs from generated code.
//
// # Names
//
// An endpoint is named by 1 to 255 bytes of RFC 3986 unreserved characters. Its URI is parley://NAME@HOST:PORT, or
// parley-client://NAME@ENV_ID if its Env has no listener.
//
// # Verbs
//
// A generated Ref has a field of type Method for each rpc; Send, Ask and AskSync are its verbs. Messages that one
// goroutine hands to one endpoint arrive in order, whichever the verbs.
package endpoint
