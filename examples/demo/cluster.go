package main

import (
	"context"
	"fmt"
)

const (
	online1  = "node worker1 online!"
	online2  = "node worker2 online!"
	onlines  = 5 // what the master and its successor print together, at least
	twoNodes = "Current registered node count : 2 node info : worker1,512,32 worker2,512,32"
	oneNode  = "Current registered node count : 1 node info : worker2,512,32"
)

// cluster starts a master and two workers, kills a worker and starts it again, and then kills and restarts the master.
func cluster(ctx context.Context, s *stage) error {
	port, err := s.freePort()
	if err != nil {
		return err
	}
	startMaster := func() (*program, error) {
		return s.start("master", "master", "-addr", "localhost:"+port, "-check", "250ms", "-timeout", "2s")
	}
	startWorker := func(id string) (*program, error) {
		return s.start(id, "worker", "-id", id, "-master", "parley://master@localhost:"+port, "-period", "250ms", "-retry", "250ms")
	}

	first, err := startMaster()
	if err != nil {
		return err
	}
	if err := first.expect(ctx, "Current registered node count : 0 node info :"); err != nil {
		return err
	}
	worker1, err := startWorker("worker1")
	if err != nil {
		return err
	}
	worker2, err := startWorker("worker2")
	if err != nil {
		return err
	}
	for _, w := range []*program{worker1, worker2} {
		if err := w.expect(ctx, w.name+" start register!", "masterUrl : localhost:"+port); err != nil {
			return err
		}
	}
	if err := first.expectAll(ctx, online1, online2); err != nil {
		return err
	}
	if err := first.expect(ctx, twoNodes); err != nil {
		return err
	}

	if err := worker1.kill(); err != nil {
		return err
	}
	if err := first.expect(ctx, "worker1 offline", oneNode); err != nil {
		return err
	}
	if worker1, err = startWorker("worker1"); err != nil {
		return err
	}
	if err := first.expect(ctx, online1, twoNodes); err != nil {
		return err
	}

	if err := first.kill(); err != nil {
		return err
	}
	second, err := startMaster()
	if err != nil {
		return err
	}
	if err := second.expectAll(ctx, online1, online2); err != nil {
		return err
	}
	if err := second.expect(ctx, twoNodes); err != nil {
		return err
	}
	n := first.count(" online!") + second.count(" online!")
	if n < onlines {
		return fmt.Errorf("the masters printed %d lines with online!, want %d", n, onlines)
	}

	for _, p := range []*program{worker1, worker2, second} {
		if err := p.interrupt(); err != nil {
			return err
		}
		if err := p.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}
