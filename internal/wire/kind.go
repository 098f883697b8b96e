package wire

import "fmt"

// Kind says what an envelope is. Its values are the field numbers of the members of Envelope.kind.
type Kind uint8

// The kinds of protocol revision 1.
const (
	// KindUnknown is an envelope without a kind that this program knows.
	KindUnknown    Kind = 0
	KindAsk        Kind = 1
	KindSend       Kind = 2
	KindReply      Kind = 3
	KindCancel     Kind = 4
	KindRoute      Kind = 5
	KindLookup     Kind = 6
	KindChunk      Kind = 7
	KindAbort      Kind = 8
	KindReceipt    Kind = 9
	KindHeaders    Kind = 10
	KindMessage    Kind = 11
	KindHalfClose  Kind = 12
	KindEnd        Kind = 13
	KindWindow     Kind = 14
	KindWatch      Kind = 15
	KindUnwatch    Kind = 16
	KindTerminated Kind = 17
	KindBye        Kind = 18
)

var kindNames = [...]string{
	KindUnknown:    "unknown",
	KindAsk:        "ask",
	KindSend:       "send",
	KindReply:      "reply",
	KindCancel:     "cancel",
	KindRoute:      "route",
	KindLookup:     "lookup",
	KindChunk:      "chunk",
	KindAbort:      "abort",
	KindReceipt:    "receipt",
	KindHeaders:    "headers",
	KindMessage:    "message",
	KindHalfClose:  "half_close",
	KindEnd:        "end",
	KindWindow:     "window",
	KindWatch:      "watch",
	KindUnwatch:    "unwatch",
	KindTerminated: "terminated",
	KindBye:        "bye",
}

// String returns the kind's name in the .proto, or "kind(N)" for a value that is none of the constants.
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// known reports whether k is a kind that can be encoded.
func (k Kind) known() bool {
	return KindAsk <= k && k <= KindBye
}
