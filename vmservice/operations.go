package vmservice

import (
	"context"

	"github.com/rondo-ci/rondo/ci"
)

// The actions of operators, as those of an audit log.
const (
	ActDrain     = "rondo.machines.drain"
	ActGive      = "rondo.machines.ready" // the end of a drain
	ActReconcile = "rondo.machines.reconcile"
	ActEnd       = "rondo.machine.end"
	ActPurge     = "rondo.layers.purge"
)

// Operations are what operators do to a fleet, by whatever door they come: each
// is one act on record.
type Operations struct {
	Fleet *Fleet
	// May is nil for operators, and an error for everybody else; a nil May asks
	// nobody.
	May func(ctx context.Context, by ci.Actor) error
	// Record does what an act says and puts it on record; nil only does it.
	Record func(ctx context.Context, act ci.Act, do func() error) error
}

func (o Operations) act(ctx context.Context, action string, by ci.Actor, target map[string]string, do func() error) error {
	if o.May != nil {
		if err := o.May(ctx, by); err != nil {
			return err
		}
	}
	if o.Record == nil {
		return do()
	}
	return o.Record(ctx, ci.Act{Action: action, Actor: by, Target: target}, do)
}

// Drain is [Fleet.Drain].
func (o Operations) Drain(ctx context.Context, on bool, by ci.Actor) error {
	action := ActDrain
	if !on {
		action = ActGive
	}
	return o.act(ctx, action, by, map[string]string{"type": "machines"}, func() error { return o.Fleet.Drain(ctx, on) })
}

// End is [Fleet.End].
func (o Operations) End(ctx context.Context, name string, by ci.Actor) (ended Record, err error) {
	err = o.act(ctx, ActEnd, by, map[string]string{"type": "machine", "id": name}, func() (err error) {
		ended, err = o.Fleet.End(name)
		return err
	})
	return ended, err
}

// Purge is [Fleet.Purge].
func (o Operations) Purge(ctx context.Context, project ci.ProjectID, by ci.Actor) (free, used int, err error) {
	err = o.act(ctx, ActPurge, by, map[string]string{"type": "project", "id": string(project)}, func() (err error) {
		free, used, err = o.Fleet.Purge(ctx, project)
		return err
	})
	return free, used, err
}

// Reconcile is [Fleet.Reconcile], and sets right what it finds.
func (o Operations) Reconcile(ctx context.Context, by ci.Actor) (found []Finding, err error) {
	err = o.act(ctx, ActReconcile, by, map[string]string{"type": "machines"}, func() (err error) {
		found, err = o.Fleet.Reconcile(ctx, false)
		return err
	})
	return found, err
}
