package flame

import "strings"

// Owner is whose code a function is.
type Owner int

// The owners, in the order in which they are shown.
const (
	Users    Owner = iota // the user of the framework: handlers, callers, generated messages
	Parley                // Parley, with its generated messages
	GRPC                  // grpc-go
	Protobuf              // the codec of the user's messages
	Runtime               // goroutines, channels, timers, locks
	Memory                // allocation and garbage collection
	Kernel                // system calls
	owners                // how many there are
)

// String returns a name in one word.
func (o Owner) String() string {
	return [owners]string{"user", "parley", "grpc", "protobuf", "runtime", "memory", "kernel"}[o]
}

// label is the name in a legend.
func (o Owner) label() string {
	return [owners]string{
		"the user's, and the benchmark's", "Parley", "gRPC", "protobuf", "Go runtime: scheduling", "Go runtime: memory", "kernel and network",
	}[o]
}

// colour is light enough for black text.
func (o Owner) colour() string {
	return [owners]string{"#d9d9d9", "#8fd18f", "#8ec1ee", "#f3d26b", "#f2a7a0", "#e5b3e6", "#f2b27a"}[o]
}

// rule says whose the functions are whose names begin so. The first that fits holds.
type rule struct {
	prefix string
	owner  Owner
}

const (
	module   = "github.com/parley-rpc/parley"
	asCaller = owners // such a function belongs to whoever calls it: copying, comparing, clocks, the standard library
)

var rules = []rule{
	{module + "/bench", Users}, {module + "/gen/parley/", Parley}, {module + "/gen/", Users}, {module, Parley}, {"main.", Users}, {"testing.", Users},
	{"google.golang.org/grpc", GRPC}, {"golang.org/x/net/", GRPC},
	{"google.golang.org/protobuf/encoding/protowire.", asCaller}, {"google.golang.org/protobuf", Protobuf},
	{"internal/runtime/syscall", Kernel}, {"syscall.", Kernel}, {"internal/poll.", Kernel}, {"net.", Kernel}, {"golang.org/x/sys/", Kernel},
	{"runtime.futex.", Runtime}, {"runtime.futex", Kernel}, {"runtime.usleep", Kernel}, {"runtime.osyield", Kernel}, {"runtime.madvise", Kernel},
	{"runtime.tgkill", Kernel}, {"runtime.mmap", Kernel}, {"runtime.sigreturn", Kernel}, {"runtime.sysMmap", Kernel}, {"runtime.clone", Kernel},
	{"runtime.memmove", asCaller}, {"runtime.memclr", asCaller}, {"runtime.memequal", asCaller}, {"runtime.memhash", asCaller}, {"memeqbody", asCaller},
	{"runtime.nanotime", asCaller}, {"runtime.duff", asCaller}, {"runtime.strequal", asCaller}, {"runtime.cmpstring", asCaller},
	{"runtime.mapaccess", asCaller}, {"runtime.mapassign", asCaller}, {"runtime.interequal", asCaller}, {"runtime.ifaceeq", asCaller},
	{"runtime.efaceeq", asCaller}, {"runtime.assert", asCaller}, {"runtime.typeAssert", asCaller}, {"runtime.acquirem", asCaller},
	{"runtime.releasem", asCaller}, {"runtime.systemstack", asCaller}, {"runtime.asyncPreempt", asCaller}, {"runtime.morestack", asCaller},
	{"runtime.deferreturn", asCaller}, {"runtime.add", asCaller}, {"runtime.walltime", asCaller},
	{"runtime.malloc", Memory}, {"runtime.newobject", Memory}, {"runtime.newarray", Memory}, {"runtime.makeslice", Memory},
	{"runtime.growslice", Memory}, {"runtime.gc", Memory}, {"runtime.bgsweep", Memory}, {"runtime.bgscavenge", Memory},
	{"runtime.(*mcache)", Memory}, {"runtime.(*mcentral)", Memory}, {"runtime.(*mheap)", Memory}, {"runtime.(*mspan)", Memory},
	{"runtime.(*gcWork)", Memory}, {"runtime.(*gcControllerState)", Memory}, {"runtime.(*sweepLocked)", Memory}, {"runtime.sweepone", Memory},
	{"runtime.scan", Memory}, {"runtime.mark", Memory}, {"runtime.grey", Memory}, {"runtime.wb", Memory}, {"runtime.bulkBarrier", Memory},
	{"runtime.deduct", Memory}, {"runtime.nextFreeFast", Memory}, {"runtime.profilealloc", Memory}, {"runtime.tryDeferToSpanScan", Memory},
	{"runtime.spanOf", Memory}, {"runtime.findObject", Memory}, {"runtime.rawstring", Memory}, {"runtime.rawbyteslice", Memory},
	{"runtime.slicebytetostring", Memory}, {"runtime.stringtoslicebyte", Memory}, {"runtime.concatstring", Memory}, {"runtime.convT", Memory},
	{"runtime.typedmemmove", Memory}, {"runtime.stackalloc", Memory}, {"runtime.stackfree", Memory}, {"runtime.newstack", Memory},
	{"runtime.copystack", Memory}, {"runtime.(*limiterEvent)", Memory}, {"internal/runtime/gc", Memory},
	{"runtime.", Runtime}, {"internal/runtime/", asCaller},
}

// ownerOf returns whose code a function is that a function of caller calls. What no rule knows is a library, and belongs to whoever calls it.
func ownerOf(function string, caller Owner) Owner {
	for _, r := range rules {
		if strings.HasPrefix(function, r.prefix) {
			if r.owner == asCaller {
				return caller
			}
			return r.owner
		}
	}
	return caller
}
