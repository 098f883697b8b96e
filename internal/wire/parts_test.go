package wire

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/parley-rpc/parley/internal/piecewise"
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
				piece = make([]byte, r.IntN(3*PartBytes))
			}
			for i := range piece {
				piece[i] = byte(r.Uint32())
			}
			if r.IntN(2) == 0 {
				p.Append(piece)
			} else {
				p.AppendString(string(piece))
			}
			want = append(want, piece...)
			clear(piece) // it was copied
			held := 0
			for _, b := range p.buffers {
				held += cap(b.Bytes)
			}
			if p.Len() != len(want) || held > (len(want)/PartBytes+1)*128<<10 {
				t.Fatalf("%d bytes have come, of which %d are counted, and %d are held", len(want), p.Len(), held)
			}
		}
		for range 20 {
			if len(want) == 0 {
				break
			}
			at := r.IntN(len(want))
			if rest := p.From(at); len(rest) == 0 || !bytes.HasPrefix(want[at:], rest) || len(rest) < min(len(want)-at, PartBytes-at%PartBytes) {
				t.Fatalf("seed %d: %d bytes are at %d of %d", seed, len(rest), at, len(want))
			}
		}
		if got := piecewise.Join(&p); !bytes.Equal(got, want) {
			t.Fatalf("seed %d: got %d bytes, want the %d that have come", seed, len(got), len(want))
		}
		if p.Len() != 0 || len(piecewise.Join(&p)) != 0 {
			t.Fatal("it is not empty when it has been joined")
		}
	}
}

// TestPartsAreApart: what was joined stays as it is when the buffers are used again.
func TestPartsAreApart(t *testing.T) {
	var p Parts
	p.Append(bytes.Repeat([]byte("a"), 2*PartBytes))
	whole := piecewise.Join(&p)
	for range 4 {
		var other Parts
		other.Append(bytes.Repeat([]byte("b"), 2*PartBytes))
	}
	if bytes.Contains(whole, []byte("b")) {
		t.Error("another payload has come into it")
	}
}

// TestPartsAreUsedAgain: who joins parts, or releases them, leaves no user of their memory.
func TestPartsAreUsedAgain(t *testing.T) {
	for name, end := range map[string]func(*Parts){"joined": func(p *Parts) { piecewise.Join(p) }, "released": (*Parts).Release} {
		var p Parts
		p.Append(make([]byte, 2*PartBytes+1))
		buffers := slices.Clone(p.buffers)
		end(&p)
		for i, b := range buffers {
			if n := b.users.Load(); n != 0 {
				t.Errorf("%s: part %d has %d users", name, i, n)
			}
		}
		if len(p.buffers) != 0 {
			t.Errorf("%s: %d parts are left", name, len(p.buffers))
		}
	}
}

// TestPartsAreTaken: a part is whoever's has taken it, until that releases it; the others stay.
func TestPartsAreTaken(t *testing.T) {
	var p Parts
	want := bytes.Repeat([]byte("abcdefg"), PartBytes/3)
	p.Append(want)
	for len(want) > 0 {
		part, release := p.Take()
		if !bytes.HasPrefix(want, part) || p.Len() != len(want)-len(part) {
			t.Fatalf("got a part of %d bytes, and %d are left, of %d", len(part), p.Len(), len(want))
		}
		want = want[len(part):]
		release()
	}
	if part, release := p.Take(); part != nil || release != nil {
		t.Error("there is a part where all are taken")
	}
	p.Append([]byte("a"))
	p.Release()
	if part, _ := p.Take(); part != nil || p.Len() != 0 {
		t.Error("there is a part where all are released")
	}
	p.Append([]byte("b"))
	if got := piecewise.Join(&p); string(got) != "b" {
		t.Errorf("used again, it has %q", got)
	}
}
