package wire

import (
	"strings"
	"testing"

	"google.golang.org/grpc/metadata"
)

// TestMetadataRules: which pairs travel, which are left out at both ends, and which are refused by the sender.
func TestMetadataRules(t *testing.T) {
	for _, test := range []struct {
		key, value string
		travels    bool
		reserved   bool
	}{
		{"k", "v", true, false},
		{"k", "", true, false},
		{"0_.-", " ~", true, false},
		{"k-bin", "\x00\xff\n", true, false},
		{"grpc-trace-bin", "\x00", true, false},
		{"grpc-tags-bin", "\xff", true, false},
		{"grpc-previous-rpc-attempts", "1", true, false},
		{"grpc-retry-pushback-ms", "10", true, false},
		{"grpc-accept-encoding", "gzip", true, false},
		{"grpc-", "v", true, false},
		{"content-types", "v", true, false},
		{"content-type", "v", false, true},
		{"user-agent", "v", false, true},
		{"te", "v", false, true},
		{"grpc-message-type", "v", false, true},
		{"grpc-encoding", "v", false, true},
		{"grpc-message", "v", false, true},
		{"grpc-status", "0", false, true},
		{"grpc-timeout", "1S", false, true},
		{":", "v", false, true},
		{":authority", "v", false, true},
		{":Any Key", "v", false, true},
		{":k-bin", "\n", false, true},
		{":k", "\n", false, false},
		{"te", "\x7f", false, false},
		{"", "v", false, false},
		{"K", "v", false, false},
		{"a:b", "v", false, false},
		{"grpc trace", "v", false, false},
		{strings.Repeat("!", 10_000), "v", false, false},
		{"k", "a\r\nb", false, false},
		{"k", "\u00e4", false, false},
		{"grpc-k", "\x1f", false, false},
	} {
		sent, err := FromMD(metadata.MD{test.key: {test.value}})
		if refused := !test.travels && !test.reserved; (err != nil) != refused || (len(sent) == 1) != test.travels {
			t.Errorf("%.40q=%q: sent are %q, %v", test.key, test.value, sent, err)
		}
		if err != nil && len(err.Error()) > 1000 {
			t.Errorf("the error repeats %d bytes of the key", len(err.Error()))
		}
		m := Metadata{Key: test.key, Value: test.value}
		if allowed := m.Validate() == nil; allowed != (test.travels || test.reserved) {
			t.Errorf("%.40q=%q: allowed %t", test.key, test.value, allowed)
		}
		if got := MD([]Metadata{m, {Key: "other", Value: "v"}}); (len(got) == 2) != test.travels || len(got["other"]) != 1 {
			t.Errorf("%.40q=%q: received are %q", test.key, test.value, got)
		}
	}
	if _, err := FromMD(metadata.MD{"K": nil}); err == nil {
		t.Error("a bad key without a value is taken")
	}
}
