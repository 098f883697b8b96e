// Package credit has the accounts of flow control: a Window is the sender's side, a Grant the receiver's. Totals are
// cumulative on both sides, so that stating one twice changes nothing.
package credit

// Window is how much a sender may still send to one mailbox. It is not safe for concurrent use.
//
// A message may start while both messages and bytes have anything left; so a window is overdrawn by at most one message.
type Window struct {
	sentMessages, sentBytes   uint64
	totalMessages, totalBytes uint64
	// Waiters are those who wait for this window, in order. Who is not its head must not send.
	Waiters Queue
}

// NewWindow returns a window with an initial total.
func NewWindow(messages, bytes uint64) Window {
	return Window{totalMessages: messages, totalBytes: bytes}
}

// Open reports whether a message may start.
func (w *Window) Open() bool {
	return w.sentMessages < w.totalMessages && w.sentBytes < w.totalBytes
}

// Charge counts a message, or a further part of one if messages is 0.
func (w *Window) Charge(messages, bytes uint64) {
	w.sentMessages += messages
	w.sentBytes += bytes
}

// Discharge takes back what was charged for a message that is not going to be sent.
func (w *Window) Discharge(messages, bytes uint64) {
	w.sentMessages -= messages
	w.sentBytes -= bytes
}

// Raise takes new totals; 0 says nothing. It reports false if one was lower than before, which is ignored.
func (w *Window) Raise(messages, bytes uint64) bool {
	current := (messages == 0 || messages >= w.totalMessages) && (bytes == 0 || bytes >= w.totalBytes)
	w.totalMessages = max(w.totalMessages, messages)
	w.totalBytes = max(w.totalBytes, bytes)
	return current
}

// Refund gives back what was charged.
func (w *Window) Refund(messages, bytes uint64) {
	w.totalMessages += messages
	w.totalBytes += bytes
}
