package semantics

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/parley-rpc/parley"
	parleytestv1 "github.com/parley-rpc/parley/gen/parleytest/v1"
)

// TestOrderWhenDirectSessionComes: messages that take a relay are not overtaken by later ones because a direct session begins.
func TestOrderWhenDirectSessionComes(t *testing.T) {
	relay := listen(t)
	target := newEnv(t, parley.WithWindow(16, 1<<20)) // client mode: dials both
	c := listen(t)
	p := newProbe(t)
	own := register(t, target, "target", p)
	keeper := register(t, relay, "keeper", newProbe(t))
	keep(t, lookup(t, target, keeper.Ref().String()), own.Ref())
	handed := kept(t, lookup(t, c, keeper.Ref().String()))
	ref := bind(t, c, handed)
	if err := ref.Block.Send(within(t), &parleytestv1.BlockRequest{Text: "b"}); err != nil {
		t.Fatal(err)
	}
	await(t, p.block.entered, "handler")
	for i := range 50 {
		send(t, ref, fmt.Sprintf("%03d", i))
	}
	// Now the target happens to talk to C.
	reg := register(t, c, "other", newProbe(t))
	echo(t, lookup(t, target, reg.Ref().String()), "x")
	for i := 50; i < 55; i++ {
		send(t, ref, fmt.Sprintf("%03d", i))
	}
	p.block.open()
	echo(t, ref, "end") // behind all of them
	got := slices.DeleteFunc(p.journal.all(), func(s string) bool { return len(s) != 3 || strings.Trim(s, "0123456789") != "" })
	if len(got) != 55 || !slices.IsSorted(got) {
		t.Errorf("%d messages came, sorted: %t; want 55 in order: %q", len(got), slices.IsSorted(got), got)
	}
}
