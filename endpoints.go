package parley

import (
	"github.com/parley-rpc/parley/endpoint"
	"github.com/parley-rpc/parley/server"
)

// Endpoints returns what is known of the endpoints of the Env, also of those that are stopping, in the order of their names. It may be called at any
// time, and waits for no handler. For metrics it is to be read now and then, with Sessions and Counters: nothing is pushed.
func (e *Env) Endpoints() []endpoint.Info {
	infos, _ := e.server.Endpoints(server.Query{})
	return infos
}
