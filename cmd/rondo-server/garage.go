package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/vmservice"
	"golang.org/x/sync/errgroup"
)

// A garage is where the machines of single tasks come from: a fleet, by what
// the file of settings says, or else what was saved on the page.
type garage struct {
	in      *installation
	file    machinesSettings
	locked  bool // the file chooses the provider
	fleet   *vmservice.Fleet
	handler http.Handler

	saving  sync.Mutex   // one form after the other
	first   net.Listener // opened before anything runs
	address atomic.Value // where it is served, a string; "" is not
	moves   chan move
	opening bool // nothing runs yet
}

// A move asks for another address of /status and /load.
type move struct {
	to    string
	moved chan error
}

// openMachines makes the fleet of machines, over chapters that are open. What
// the file of settings says has to work; what was saved on the page is tried
// until it does.
func (in *installation) openMachines(ctx context.Context) error {
	if in.machining == nil {
		return nil
	}
	g := &garage{in: in, file: *in.machining, locked: in.machining.Provider != "", fleet: vmservice.NewFleet(in.db, in.log), moves: make(chan move), opening: true}
	g.handler = vmservice.Handler(g.fleet, vmservice.Gate{May: in.mayMachines, Record: in.recorded})
	if in.doors == nil {
		in.doors = map[string]http.Handler{}
	}
	in.doors[machinesAPI+"/"] = http.StripPrefix(machinesAPI, in.bySlug(g.handler))
	in.garage, in.parts = g, append(in.parts, g.run)
	if !g.locked {
		in.mender.try(ctx, formMachines, g.fromPage)
	} else if err := g.use(ctx, g.file, nil); err != nil {
		return err
	}
	g.opening = false
	return g.retire(ctx)
}

// run runs the fleet and serves its door until ctx ends.
func (g *garage) run(ctx context.Context) error {
	work, ctx := errgroup.WithContext(ctx)
	work.Go(func() error { return g.fleet.Run(ctx) })
	work.Go(func() error { return g.answer(ctx) })
	return work.Wait()
}

// use puts settings into force.
func (g *garage) use(ctx context.Context, s machinesSettings, gone func(context.Context) error) error {
	if !s.on() {
		g.fleet.Use(nil, nil)
		return g.listen(ctx, "")
	}
	pool, err := g.pool(s)
	if err != nil {
		return err
	}
	g.fleet.Use(pool, gone)
	g.in.log.Info("machines", "provider", s.provider(), "listen", s.listen())
	return g.listen(ctx, s.listen())
}

// fromPage puts what was saved on the page into force.
func (g *garage) fromPage(ctx context.Context) error {
	_, values, err := g.in.saved(ctx, formMachines)
	var s machinesSettings
	if err == nil {
		s, err = typedMachines(g.file, values)
	}
	if err == nil {
		err = g.use(ctx, s, g.gone(s.provider()))
	}
	if err != nil {
		g.fleet.Off("machines are off, and it is tried again: " + err.Error())
	}
	return err
}

// retire runs the pools of earlier settings until nothing is left of what they
// had.
func (g *garage) retire(ctx context.Context) error {
	for d, err := range g.in.db.Docs(ctx, ci.DocQuery{Kind: kindSettings}) {
		if err != nil {
			return fmt.Errorf("earlier settings of machines: %w", err)
		}
		if strings.HasPrefix(d.ID, formMachines+"/") || g.locked && d.ID == formMachines {
			g.in.mender.try(ctx, d.ID, func(ctx context.Context) error { return g.retireOne(ctx, d) })
		}
	}
	return nil
}

func (g *garage) retireOne(ctx context.Context, d ci.Doc) error {
	values, err := g.in.opened(ctx, d)
	if err != nil {
		return err
	}
	s, err := typedMachines(g.file, values)
	if err != nil || !s.on() {
		return err
	}
	pool, err := g.pool(s)
	if err != nil {
		return err
	}
	gone := g.gone(s.provider())
	if d.ID == formMachines { // it is what the page shows, and may come into force again
		gone = nil
	}
	g.fleet.Retire(pool, gone)
	return nil
}

// gone forgets the settings of a provider that has nothing of ours any more.
func (g *garage) gone(provider string) func(context.Context) error {
	return func(ctx context.Context) error {
		d := ci.Doc{Kind: kindSettings, ID: formMachines + "/" + provider, Version: ci.AnyVersion}
		_, err := g.in.db.WriteDocs(ctx, ci.DocChange{Doc: d, Delete: true})
		if errors.Is(err, ci.ErrNotFound) {
			return nil
		}
		return err
	}
}

// pool makes the pool of settings, which are on. It starts nothing.
func (g *garage) pool(s machinesSettings) (*vmservice.Pool, error) {
	in := g.in
	driver, err := g.driver(s)
	if err != nil {
		return nil, err
	}
	cfg := s.config()
	if cfg.Install, err = in.folder.Secret("installation", ""); err != nil {
		return nil, err
	}
	cfg.Keeper, cfg.Log, cfg.Note = in.keeper, in.log, in.book.Record
	cfg.Live = func(_ context.Context, task ci.TaskID, epoch int64) (bool, error) {
		return in.engine.Scheduler.Holds(task, epoch)
	}
	if s.Provider == onEC2 { // the other learns the keys of its machines by itself
		cfg.Boot.Report = cmp.Or(s.Report, in.url+machinesAPI)
	}
	return vmservice.New(in.db, driver, machineGuest(), cfg), nil
}

// answer serves the door of operators at its address, until ctx ends.
func (g *garage) answer(ctx context.Context) error {
	end := func() {}
	begin := func(l net.Listener) {
		served, stop := context.WithCancel(ctx)
		done := make(chan error, 1)
		go func() { done <- serve(served, l, g.handler) }()
		end = func() {
			stop()
			if err := <-done; err != nil {
				g.in.log.Error("serve machines", "err", err)
			}
		}
	}
	if g.first != nil {
		begin(g.first)
	}
	defer func() { end() }()
	for {
		select {
		case <-ctx.Done():
			return nil
		case m := <-g.moves:
			if m.to == g.served() {
				m.moved <- nil
				continue
			}
			end()
			end = func() {}
			g.address.Store("")
			l, err := listenMachines(m.to)
			if err == nil && l != nil {
				g.address.Store(m.to)
				begin(l)
			}
			m.moved <- err
		}
	}
}

// served is where the door of operators is, "" for nowhere.
func (g *garage) served() string {
	address, _ := g.address.Load().(string)
	return address
}

// listen makes the door of operators be served at an address; "" is not at all.
func (g *garage) listen(ctx context.Context, to string) (err error) {
	if g.opening {
		if g.first, err = listenMachines(to); err == nil {
			g.address.Store(to)
		}
		return err
	}
	m := move{to, make(chan error, 1)}
	select {
	case g.moves <- m:
		return <-m.moved
	case <-ctx.Done():
		return ctx.Err()
	}
}

func listenMachines(to string) (net.Listener, error) {
	if to == "" {
		return nil, nil
	}
	l, err := listen(to)
	if err != nil {
		return nil, fmt.Errorf("machines.listen: %w", err)
	}
	return l, nil
}
