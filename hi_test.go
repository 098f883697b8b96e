package parley_test

import (
	"context"

	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
)

// hi is an endpoint that echoes.
type hi struct {
	sayhiv1parley.UnimplementedSayHi
}

// Hi implements sayhiv1parley.SayHiEndpoint.
func (hi) Hi(_ context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
	return &sayhiv1.HiReply{Msg: "echo " + r.GetMsg()}, nil
}
