package payload

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/parley-rpc/parley/internal/bulk"
	"github.com/parley-rpc/parley/internal/piecewise"
)

// TestMarshalToKeep: it is proto.Marshal, with the same errors, and a turn for what is large, which is in parts.
func TestMarshalToKeep(t *testing.T) {
	var none *wrapperspb.StringValue
	large := wrapperspb.Bytes(make([]byte, bulk.Large))
	for _, m := range []proto.Message{nil, none, &wrapperspb.StringValue{}, wrapperspb.String("x"), wrapperspb.String("\xff"), large} {
		for _, noWait := range []bool{false, true} {
			begun := bulk.Begun()
			got, parts, gotErr := Marshal(m, noWait)
			turns := bulk.Begun() - begun
			if (parts != nil) != (m == large) {
				t.Errorf("%T is in parts: %v", m, parts != nil)
			} else if parts != nil {
				got = piecewise.Join(parts)
			}
			want, wantErr := proto.Marshal(m)
			if !bytes.Equal(got, want) || (got == nil) != (want == nil) || (gotErr == nil) != (wantErr == nil) || wantErr != nil && wantErr.Error() != gotErr.Error() {
				t.Errorf("%T: %d bytes, %v, want %d, %v", m, len(got), gotErr, len(want), wantErr)
			}
			if has := turns == 1; has != (m == large && !noWait) {
				t.Errorf("%T of %d bytes has %d turns", m, len(want), turns)
			}
		}
	}
}

// ownEncoding is a message of the old API that encodes itself.
type ownEncoding struct{ times int }

func (*ownEncoding) Reset()         {}
func (*ownEncoding) String() string { return "" }
func (*ownEncoding) ProtoMessage()  {}
func (m *ownEncoding) Marshal() ([]byte, error) {
	m.times++
	return make([]byte, bulk.Large), nil
}

// TestMarshalOwnEncoding: it is asked for once, and has no turn, which it could hold for as long as it likes.
func TestMarshalOwnEncoding(t *testing.T) {
	m := new(ownEncoding)
	begun := bulk.Begun()
	b, parts, err := Marshal(protoadapt.MessageV2Of(m), false)
	if err != nil || parts != nil || len(b) != bulk.Large || m.times != 1 || bulk.Begun() != begun {
		t.Errorf("%d bytes, %v, encoded %d times, %d turns", len(b), err, m.times, bulk.Begun()-begun)
	}
}
