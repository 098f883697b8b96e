package client

import "sync"

// askStore makes the asks of futures, some at a time: that is cheaper, and one that is over keeps nothing but itself. Unlike those of synchronous asks they
// are not used again, as a future may look for its ask at any time, to abandon it.
type askStore struct {
	spare sync.Pool // of *[]remoteAsk
}

// askedTogether is how many asks are made at a time.
const askedTogether = 8

// next returns a new ask.
func (s *askStore) next() *remoteAsk {
	asks, ok := s.spare.Get().(*[]remoteAsk)
	if !ok {
		asks = new([]remoteAsk)
	}
	if len(*asks) == 0 {
		*asks = make([]remoteAsk, askedTogether)
	}
	a := &(*asks)[0]
	*asks = (*asks)[1:]
	s.spare.Put(asks)
	return a
}
