// Package cluster is a master that keeps the list of the workers that are alive, and the workers.
//
// A worker has no listener. It registers with a Ref to itself, and the master calls it back over the same session. After
// that it sends heartbeats; the master removes a worker that is silent for too long. A worker registers again when its
// session with the master ends, and when the master answers a heartbeat that it does not know it: so workers come back by
// themselves after a master's restart.
package cluster
