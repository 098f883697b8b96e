package parley_test

import (
	"context"
	"testing"
	"time"

	"github.com/parley-rpc/parley"
	sayhiv1 "github.com/parley-rpc/parley/gen/sayhi/v1"
	"github.com/parley-rpc/parley/gen/sayhi/v1/sayhiv1parley"
)

type hi struct{ sayhiv1parley.UnimplementedSayHi }

func (hi) Hi(ctx context.Context, r *sayhiv1.HiRequest) (*sayhiv1.HiReply, error) {
	return &sayhiv1.HiReply{Msg: "echo " + r.GetMsg()}, nil
}

func TestSmoke(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	env, err := parley.Listen("localhost:0")
	if err != nil {
		t.Fatal(err)
	}
	ref, err := sayhiv1parley.RegisterSayHi(ctx, env, "hi", hi{})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(ref.Ref())
	r, err := ref.Hi.AskSync(ctx, &sayhiv1.HiRequest{Msg: "local"})
	t.Log(r, err)
	c, _ := parley.New()
	cref, err := sayhiv1parley.LookupSayHi(ctx, c, ref.Ref().String())
	if err != nil {
		t.Fatal(err)
	}
	r, err = cref.Hi.AskSync(ctx, &sayhiv1.HiRequest{Msg: "remote"})
	t.Log(r, err)
	if err := cref.Hi.Send(ctx, &sayhiv1.HiRequest{Msg: "remote"}); err != nil {
		t.Fatal(err)
	}
	big := make([]byte, 10<<20)
	for i := range big {
		big[i] = 'x'
	}
	r, err = cref.Hi.AskSync(ctx, &sayhiv1.HiRequest{Msg: string(big)})
	t.Log(len(r.GetMsg()), err)
	_, err = cref.Bye.AskSync(ctx, &sayhiv1.ByeRequest{Msg: "remote"})
	t.Log(err)
	_, err = sayhiv1parley.LookupSayHi(ctx, c, "parley://nobody@"+env.Address())
	t.Log(err)
	t.Log(c.Shutdown(ctx), env.Shutdown(ctx))
	_, err = cref.Hi.AskSync(ctx, &sayhiv1.HiRequest{Msg: "remote"})
	t.Log(err)
}
