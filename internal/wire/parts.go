package wire

import "runtime"

// partBytes is the length of a part: that of a buffer that is used again. Memory for it is made in no time that anybody notices.
const partBytes = 128 << 10

// Parts is a large payload that comes in pieces. It takes what has come, and one part more, whatever was said of its size. To join the
// parts takes as long as a copy of them, so it is for whoever decodes the payload, and not for who reads it from the network, whom other
// messages wait for. It is not safe for concurrent use.
type Parts struct {
	buffers []*Buffer
	size    int
}

// Append adds a copy of a piece.
func (p *Parts) Append(piece []byte) {
	p.size += len(piece)
	for len(piece) > 0 {
		last := len(p.buffers) - 1
		if last < 0 || len(p.buffers[last].Bytes) == partBytes {
			p.buffers = append(p.buffers, NewBuffer(partBytes))
			last++
		}
		b := p.buffers[last]
		n := min(len(piece), partBytes-len(b.Bytes))
		b.Bytes = append(b.Bytes, piece[:n]...)
		piece = piece[n:]
	}
}

// Len returns how many bytes have come.
func (p *Parts) Len() int { return p.size }

// Join returns the payload in one piece, and leaves p empty. It yields after each part: those who read and write sessions would wait for the end of a
// time slice otherwise, where there are few processors. Parts that are never joined are left to the garbage collector.
func (p *Parts) Join() []byte {
	whole := make([]byte, 0, p.size)
	for _, b := range p.buffers {
		whole = append(whole, b.Bytes...)
		b.Release()
		runtime.Gosched()
	}
	p.buffers, p.size = nil, 0
	return whole
}
