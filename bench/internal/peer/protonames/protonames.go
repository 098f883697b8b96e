// Package protonames lets hollywood and protoactor be in one program. Both have a protobuf message that is named actor.PID, at which
// google.golang.org/protobuf panics when they are initialized. Packages that import either of them import this one.
//
// It works because of the order in which Go initializes packages: the first by import path of those whose imports are
// initialized. This package imports but os, which the registry of protobuf does too, and comes before that by its path.
//
// Nothing is lost: the registry keeps the first of the two messages, and neither framework looks its own up there by that name.
package protonames

import "os"

// policy is the environment variable that says what becomes of messages of the same name.
const policy = "GOLANG_PROTOBUF_REGISTRATION_CONFLICT"

func init() {
	if os.Getenv(policy) != "" {
		return
	}
	if err := os.Setenv(policy, "ignore"); err != nil {
		panic(err)
	}
}
