package main

import "github.com/parley-rpc/parley"

// sessionStats is what an Env says of its sessions: how many live, and the sums over them.
type sessionStats struct {
	Live      int    `json:"live"`
	Attached  uint64 `json:"attached"`
	Replayed  uint64 `json:"replayed"`
	Rotations uint64 `json:"rotations"`
}

// readStats reads them.
func readStats(env *parley.Env) sessionStats {
	var st sessionStats
	for _, s := range env.Sessions() {
		st.Live++
		st.Attached += s.Attaches
		st.Replayed += s.Replayed
		st.Rotations += s.Rotations
	}
	return st
}
