//go:build race

package mailbox

// raceEnabled tells that allocation counts mean nothing.
const raceEnabled = true
