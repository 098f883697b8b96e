// protoc-gen-go-parley is a plugin of buf and protoc that generates the Refs and endpoints of Parley. Its output needs that
// of protoc-gen-go, and may stand beside that of protoc-gen-go-grpc.
//
// For the Go package of a .proto file that has services, it generates a sub-package whose name has "parley" added: what
// belongs to example.com/gen/sayhi/v1;sayhiv1 goes into example.com/gen/sayhi/v1/sayhiv1parley. For each service there are a
// Ref with the functions that make one, and the interface of an endpoint with the functions that register it. The
// package parley.v1, which is the wire protocol, gets no output.
//
// With buf, in buf.gen.yaml:
//
//	version: v2
//	plugins:
//	  - local: protoc-gen-go
//	    out: gen
//	    opt: paths=source_relative
//	  - local: protoc-gen-go-parley
//	    out: gen
//	    opt: paths=source_relative
//
// With protoc:
//
//	go install google.golang.org/protobuf/cmd/protoc-gen-go@latest
//	go install github.com/parley-rpc/parley/cmd/protoc-gen-go-parley@latest
//	protoc --go_out=gen --go_opt=paths=source_relative \
//		--go-parley_out=gen --go-parley_opt=paths=source_relative \
//		sayhi/v1/sayhi.proto
//
// The options are those of protoc-gen-go: paths, module, and M for the Go package of a .proto file. All plugins must be
// given the same.
//
// # What is refused
//
// An rpc named like a callback of endpoints (OnStart, OnStop, OnError, OnConnected, OnDisconnected, OnNetworkError) is
// refused, because an endpoint could not have both. So are names in one Go package from which the same Go identifier would
// be made. An rpc named Ref becomes the field Ref_ of the Ref.
//
// The flag -version prints the version.
package main

import (
	"fmt"
	"os"
	"runtime/debug"

	"google.golang.org/protobuf/compiler/protogen"
)

func main() {
	if len(os.Args) == 2 && (os.Args[1] == "-version" || os.Args[1] == "--version") {
		fmt.Println("protoc-gen-go-parley", version())
		return
	}
	protogen.Options{}.Run(generate)
}

// version returns the version of the module that the plugin was built from; "(devel)" if from a working tree.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(unknown)"
	}
	return info.Main.Version
}
