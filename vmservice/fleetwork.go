package vmservice

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// Claim is [Pool.Claim] of the pool in force, or of an earlier one that has the
// task's machine. Without a pool it is [ci.ErrInvalid].
func (f *Fleet) Claim(ctx context.Context, task ci.TaskID, epoch int64, project ci.ProjectID, trust string, need ci.MachineNeed) (ci.Machine, error) {
	f.mu.Lock()
	now, old, off := f.now, slices.Clone(f.old), f.off
	f.mu.Unlock()
	for _, s := range old {
		has, older, sure := s.pool.holding(task, epoch)
		switch {
		case !sure:
			return ci.Machine{Reason: "the server is looking for its machines after a restart"}, nil
		case has:
			return s.pool.Claim(ctx, task, epoch, project, trust, need)
		case older:
			if err := s.pool.Release(ctx, task, epoch); err != nil {
				return ci.Machine{}, err
			}
		}
	}
	switch {
	case off != "":
		return ci.Machine{Reason: off}, nil
	case now == nil:
		return ci.Machine{}, fmt.Errorf("this installation has no machines: an administrator chooses a provider on the page of settings, or by machines: in the file of settings: %w", ci.ErrInvalid)
	}
	return now.pool.Claim(ctx, task, epoch, project, trust, need)
}

// Release is [Pool.Release] of whichever pool has the task's machine.
func (f *Fleet) Release(ctx context.Context, task ci.TaskID, epoch int64) error {
	all, _ := f.pools()
	var wrong []error
	for _, p := range all {
		wrong = append(wrong, p.Release(ctx, task, epoch))
	}
	return errors.Join(wrong...)
}

// Status is that of the pool in force, with what there is to say of the others.
func (f *Fleet) Status() Status {
	f.mu.Lock()
	all, off, strangers := f.posts(), f.off, slices.Clone(f.strangers)
	current := f.now != nil
	s := Status{Ready: off == ""}
	f.mu.Unlock()
	if current {
		s = all[0].pool.Status()
		all = all[1:]
	}
	s.Off = off
	for _, o := range all {
		machines, volumes := len(o.pool.Machines(0)), len(o.pool.Layers())
		earlier := o.pool.Status()
		s.Hour, s.Today, s.GB, s.Volumes = s.Hour+earlier.Hour, s.Today+earlier.Today, s.GB+earlier.GB, s.Volumes+earlier.Volumes
		s.Alarms = append(s.Alarms, earlier.Alarms...)
		if machines+volumes > 0 {
			s.Alarms = append(s.Alarms, fmt.Sprintf("%d machines and %d volumes of %s, which the settings no longer choose, are being ended as jobs let them go", machines, volumes, o.pool.cfg.Boot.Provider))
		}
	}
	if off != "" {
		s.Ready, s.Alarms = false, append(s.Alarms, off)
		return s
	}
	s.Alarms = append(s.Alarms, strangers...)
	return s
}

// Load returns the rows of GET /load, of the pool in force.
func (f *Fleet) Load() []Load { return f.Status().load() }

// Machines is [Pool.Machines] of all pools.
func (f *Fleet) Machines(older time.Duration) []Record {
	all, _ := f.pools()
	var records []Record
	for _, p := range all {
		records = append(records, p.Machines(older)...)
	}
	slices.SortStableFunc(records, func(a, b Record) int { return a.Asked.Compare(b.Asked) })
	return records
}

// Layers is [Pool.Layers] of all pools.
func (f *Fleet) Layers() []VolumeRecord {
	all, _ := f.pools()
	var records []VolumeRecord
	for _, p := range all {
		records = append(records, p.Layers()...)
	}
	slices.SortStableFunc(records, func(a, b VolumeRecord) int { return cmp.Compare(a.Project, b.Project) })
	return records
}

// Past is [Pool.Past]; what is gone is in one ledger for all pools.
func (f *Fleet) Past(ctx context.Context, task ci.TaskID, limit int) ([]Record, error) {
	return past(ctx, f.docs, task, limit)
}

// Report is [Pool.Report] to whichever pool has the machine.
func (f *Fleet) Report(ctx context.Context, key, token, hostKey string) error {
	all, _ := f.pools()
	err := fmt.Errorf("report of machine %q: %w", key, ci.ErrDenied)
	for _, p := range all {
		if err = p.Report(ctx, key, token, hostKey); err == nil {
			return nil
		}
	}
	return err
}

// Drain is [Pool.Drain] of the pool in force; those before it are drained
// already. Without a pool it is [ci.ErrConflict].
func (f *Fleet) Drain(ctx context.Context, on bool) error {
	all, current := f.pools()
	if !current {
		return fmt.Errorf("drain machines: no provider of machines is chosen: %w", ci.ErrConflict)
	}
	return all[0].Drain(ctx, on)
}

// Purge is [Pool.Purge] of all pools.
func (f *Fleet) Purge(ctx context.Context, project ci.ProjectID) (free, used int, err error) {
	all, _ := f.pools()
	if project == "" {
		return 0, 0, fmt.Errorf("purge layer caches: no project is named: %w", ci.ErrInvalid)
	}
	for _, p := range all {
		a, b, e := p.Purge(ctx, project)
		free, used, err = free+a, used+b, errors.Join(err, e)
	}
	return free, used, err
}

// End is [Pool.End] of whichever pool has the machine.
func (f *Fleet) End(name string) (Record, error) {
	all, _ := f.pools()
	for _, p := range all {
		if r, err := p.End(name); !errors.Is(err, ci.ErrNotFound) {
			return r, err
		}
	}
	return Record{}, noMachine(name)
}

// Reconcile is [Pool.Reconcile] of all pools.
func (f *Fleet) Reconcile(ctx context.Context, dry bool) ([]Finding, error) {
	all, _ := f.pools()
	var found []Finding
	var wrong []error
	for _, p := range all {
		some, err := p.Reconcile(ctx, dry)
		found, wrong = append(found, some...), append(wrong, err)
	}
	return found, errors.Join(wrong...)
}
