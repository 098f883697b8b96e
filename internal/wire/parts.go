package wire

// PartBytes is the length of all parts but the last: that of a buffer that is used again, less what would make the last chunk of it a short one. Memory
// for it is made in no time that anybody notices.
const PartBytes = 127_600

// MostUndivided is the size of the largest payloads that come in one piece, and that go in one piece although they divide. Those of a MiB and more are in parts: what Go
// copies at once from a MiB on, it writes past the processor's caches, so that who reads it next waits for memory.
const MostUndivided = 1<<20 - 1

// Parts is a large payload that comes in pieces, or is made piece by piece. It takes what has come, and one part more, whatever was said of its size. It is not safe
// for concurrent use. The zero Parts is empty.
type Parts struct {
	buffers []*Buffer
	size    int
}

// Append adds a copy of a piece.
func (p *Parts) Append(piece []byte) { appendTo(p, piece) }

// AppendString does what Append does.
func (p *Parts) AppendString(piece string) { appendTo(p, piece) }

func appendTo[T []byte | string](p *Parts, piece T) {
	p.size += len(piece)
	for len(piece) > 0 {
		last := len(p.buffers) - 1
		if last < 0 || len(p.buffers[last].Bytes) == PartBytes {
			p.buffers = append(p.buffers, NewBuffer(PartBytes))
			last++
		}
		b := p.buffers[last]
		n := min(len(piece), PartBytes-len(b.Bytes))
		b.Bytes = append(b.Bytes, piece[:n]...)
		piece = piece[n:]
	}
}

// Len returns how many bytes there are.
func (p *Parts) Len() int { return p.size }

// From returns what is at an offset from the first byte, up to the end of a part. Nothing may have been taken out.
func (p *Parts) From(offset int) []byte { return p.buffers[offset/PartBytes].Bytes[offset%PartBytes:] }

// Take takes the first part out, and returns nil if there is none. Nobody may look at it after release; a part that is not released is left to the
// garbage collector.
func (p *Parts) Take() (part []byte, release func()) {
	if len(p.buffers) == 0 {
		return nil, nil
	}
	b := p.buffers[0]
	p.buffers[0] = nil
	p.buffers = p.buffers[1:]
	p.size -= len(b.Bytes)
	return b.Bytes, b.Release
}

// Release takes all parts out, of which nothing is needed any more.
func (p *Parts) Release() {
	for _, b := range p.buffers {
		b.Release()
	}
	*p = Parts{}
}
