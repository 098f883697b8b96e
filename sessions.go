package parley

import "github.com/parley-rpc/parley/endpoint"

// SessionState is what a session is doing; see endpoint.SessionState.
type SessionState = endpoint.SessionState

// The states of a session; see endpoint.SessionState.
const (
	SessionAttached = endpoint.SessionAttached
	SessionDetached = endpoint.SessionDetached
)

// SessionInfo is what an Env knows of one of its sessions; see endpoint.SessionInfo.
type SessionInfo = endpoint.SessionInfo

// Sessions returns the sessions of the Env, the oldest first. It may be called at any time, and waits for nothing.
func (e *Env) Sessions() []SessionInfo {
	links := e.table.All()
	infos := make([]SessionInfo, 0, len(links))
	for _, l := range links {
		infos = append(infos, l.Info())
	}
	return infos
}
