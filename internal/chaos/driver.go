package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/parley-rpc/parley/internal/faultproxy"
)

const (
	// progressPeriod is how often the driver prints what it knows.
	progressPeriod = 5 * time.Second
	// settleTimeout bounds the wait for messages that were sent and have not come, when everything else is over.
	settleTimeout = 10 * time.Second
)

// errFailed: something did not hold, which has been printed.
var errFailed = errors.New("chaos: it failed")

// driver runs everything.
type driver struct {
	config
	out     io.Writer
	fleet   *fleet
	proxies []*faultproxy.Proxy
}

// drive is the main function of the driver. Everything that it has started is over when it returns.
func drive(ctx context.Context, getenv func(string) string, out io.Writer) error {
	c, err := parseConfig(getenv)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "chaos: CHAOS_SEED=%d for %s\n", c.seed, c.duration)
	d := &driver{config: c, out: out, fleet: newFleet(ctx)}
	defer d.close()
	if err := d.open(); err != nil {
		return err
	}
	if err := d.load(); err != nil {
		return err
	}
	if err := d.settle(); err != nil {
		return err
	}
	t, err := d.final()
	if err != nil {
		return err
	}
	return d.judge(t, d.fleet.end())
}

// close ends what is left.
func (d *driver) close() {
	d.fleet.kill()
	for _, p := range d.proxies {
		_ = p.Close() // its listener fails to close only if it is closed
	}
}

// open starts the proxies, then the servers behind them, then the clients, and waits for all sessions. Nothing breaks yet: the outcome of
// an opening that breaks may be a session of which only one end knows, which would be counted.
func (d *driver) open() error {
	single, err := d.proxy()
	if err != nil {
		return err
	}
	replicas, err := d.proxy()
	if err != nil {
		return err
	}
	for _, s := range []memberConfig{
		{Name: "server-1", Advertise: single.Address()},
		{Name: "server-2", Advertise: replicas.Address()},
		{Name: "server-3", Advertise: replicas.Address()},
		{Name: "server-4", Aging: d.aging},
	} {
		s.Seed = d.seed
		if err := d.fleet.start(roleServer, s); err != nil {
			return err
		}
	}
	err = d.fleet.awaitAll(openTimeout, "to listen", func(t *told) bool { return t.listening != "" })
	if err != nil {
		return err
	}
	single.SetTargets(d.fleet.listening("server-1"))
	replicas.SetTargets(d.fleet.listening("server-2"), d.fleet.listening("server-3"))
	servers := [addresses]string{single.Address(), replicas.Address(), d.fleet.listening("server-4")}
	for i := range clients {
		c := memberConfig{Name: fmt.Sprintf("%s-%d", roleClient, i+1), Seed: d.seed, Servers: servers[:]}
		if err := d.fleet.start(roleClient, c); err != nil {
			return err
		}
	}
	return d.fleet.awaitAll(openTimeout, "to be ready", func(t *told) bool { return t.role == roleServer || t.ready })
}

// proxy starts a proxy.
func (d *driver) proxy() (*faultproxy.Proxy, error) {
	random := rand.New(rand.NewPCG(d.seed, ^uint64(len(d.proxies)))) // the storm has the low streams
	p, err := faultproxy.Listen("127.0.0.1:0", faultproxy.Config{Rand: random, Carries: carriesMessage})
	if err == nil {
		d.proxies = append(d.proxies, p)
	}
	return p, err
}

// load lets everybody send, and connections break, for as long as the run is to last.
func (d *driver) load() error {
	if err := d.fleet.order(doStart); err != nil {
		return err
	}
	ctx, calm := context.WithCancel(d.fleet.ctx)
	defer calm()
	var storming sync.WaitGroup
	defer storming.Wait()
	defer calm()
	storming.Go(func() { newStorm(d.proxies, d.kinds, d.seed).run(ctx) })
	started := time.Now()
	progress := time.NewTicker(progressPeriod)
	defer progress.Stop()
	over := time.NewTimer(d.duration)
	defer over.Stop()
	for {
		select {
		case <-progress.C:
			fmt.Fprintf(d.out, "chaos: %s: %s\n", time.Since(started).Round(time.Second), d.totals().progress())
		case <-over.C:
			return nil
		case <-d.fleet.ctx.Done():
			return context.Cause(d.fleet.ctx)
		}
	}
}

// totals returns the sums of the moment.
func (d *driver) totals() totals {
	var faults faultproxy.Counts
	for _, p := range d.proxies {
		faults = faults.Add(p.Counts())
	}
	return total(d.fleet.reports(), faults)
}

// settle lets everybody stop sending, and waits until everything has come that was sent. That it does not is for judge to say.
func (d *driver) settle() error {
	if err := d.fleet.order(doStop); err != nil {
		return err
	}
	err := d.fleet.await(drainTimeout+2*reportPeriod, func() bool { return d.totals().stopped })
	if err == nil {
		err = d.fleet.await(settleTimeout, func() bool { return d.totals().lost == 0 })
	}
	if errors.Is(err, errPatience) {
		return nil
	}
	return err
}

// final returns the sums when everything is over, and all sessions still live.
func (d *driver) final() (totals, error) {
	if err := d.fleet.order(doFinal); err != nil {
		return totals{}, err
	}
	err := d.fleet.awaitAll(settleTimeout, "to report", func(t *told) bool { return t.report.Final })
	return d.totals(), err
}

// judge prints what did not hold, and the last line.
func (d *driver) judge(t totals, unclean []error) error {
	failures := t.failures(d.config)
	for _, err := range unclean {
		failures = append(failures, err.Error())
	}
	fmt.Fprintf(d.out, "chaos: faults: %s\n", t.faults)
	for _, f := range failures {
		fmt.Fprintf(d.out, "chaos: failed: %s\n", f)
	}
	fmt.Fprintln(d.out, t)
	if len(failures) > 0 {
		return errFailed
	}
	return nil
}
