package wire

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestParts: pieces of any length become one again, in memory of about what has come.
func TestParts(t *testing.T) {
	for seed := range byte(20) {
		r := rand.New(rand.NewChaCha8([32]byte{seed}))
		var p Parts
		var want []byte
		for range r.IntN(60) {
			piece := make([]byte, r.IntN(20_000))
			if r.IntN(20) == 0 {
				piece = make([]byte, r.IntN(3*partBytes))
			}
			for i := range piece {
				piece[i] = byte(r.Uint32())
			}
			p.Append(piece)
			want = append(want, piece...)
			clear(piece) // it was copied
			held := 0
			for _, b := range p.buffers {
				held += cap(b.Bytes)
			}
			if p.Len() != len(want) || held > len(want)+partBytes {
				t.Fatalf("%d bytes have come, of which %d are counted, and %d are held", len(want), p.Len(), held)
			}
		}
		if got := p.Join(); !bytes.Equal(got, want) {
			t.Fatalf("seed %d: got %d bytes, want the %d that have come", seed, len(got), len(want))
		}
		if p.Len() != 0 || len(p.Join()) != 0 {
			t.Fatal("it is not empty when it has been joined")
		}
	}
}

// TestPartsAreApart: what was joined stays as it is when the buffers are used again.
func TestPartsAreApart(t *testing.T) {
	var p Parts
	p.Append(bytes.Repeat([]byte("a"), 2*partBytes))
	whole := p.Join()
	for range 4 {
		var other Parts
		other.Append(bytes.Repeat([]byte("b"), 2*partBytes))
	}
	if bytes.Contains(whole, []byte("b")) {
		t.Error("another payload has come into it")
	}
}
