package mailbox

// Turn is one run of a handler for one item. It may be copied and kept after
// the handler has returned; the turn is over then. The zero Turn is over.
type Turn struct {
	box    turnBox
	w      *worker
	number uint64 // w.number while this turn lasts
}

// Release lets the box take its next item while this handler goes on. It
// returns true if the turn is now released, by this or an earlier call; false,
// and nothing has changed, if as many released handlers as allowed are running
// or the turn is over. It may be called from any goroutine, any number of times.
func (t Turn) Release() bool {
	return t.box != nil && t.box.release(t.w, t.number)
}

// Released reports whether the turn has been released and is not over.
func (t Turn) Released() bool {
	return t.box != nil && t.box.isReleased(t.w, t.number)
}

// Leave says that a released handler is about to return: it does not count as one of those that are allowed any more, and is still waited for.
// Elsewhere it does nothing.
func (t Turn) Leave() {
	if t.box != nil {
		t.box.leaving(t.w, t.number)
	}
}

// turnBox is what turns need of a Box, whatever its items are.
type turnBox interface {
	release(w *worker, number uint64) bool
	isReleased(w *worker, number uint64) bool
	leaving(w *worker, number uint64)
}
