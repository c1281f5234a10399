package vmservice

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// keepClaimed sees to a machine that a task has: it ends when the task has
// ended and nobody has said so.
func (p *Pool) keepClaimed(ctx context.Context, m *machine, r Record) time.Duration {
	now := p.cfg.Clock()
	t := p.cfg.Times
	p.mu.Lock()
	lease, misses := m.lease, m.misses
	p.mu.Unlock()
	switch {
	case now.Sub(r.Claimed) >= t.Leak:
		return p.reap(ctx, m, r, fmt.Sprintf("its task has had it for %s", t.Leak))
	case now.Before(lease):
		return min(lease.Sub(now), r.Claimed.Add(t.Leak).Sub(now))
	}
	live := false
	if p.cfg.Live != nil {
		var err error
		if live, err = p.cfg.Live(ctx, r.Task, r.Epoch); err != nil {
			p.cfg.Log.Warn("ask whether a task lives", "task", r.Task, "err", err)
			return p.backoff(m)
		}
	}
	if !live && misses >= 1 && now.Sub(lease) >= t.Grace {
		return p.reap(ctx, m, r, "its task has ended, which nobody said")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if live {
		m.lease, m.misses = now.Add(t.Lease), 0
		return t.Lease
	}
	m.misses++
	return max(t.Grace/2, time.Second)
}

// reap ends a machine, which is busy, that has leaked: once that is on record.
func (p *Pool) reap(ctx context.Context, m *machine, r Record, why string) time.Duration {
	if err := p.note(ctx, ActReapMachine, r.ID, r.Key, r.Task, why); err != nil {
		p.cfg.Log.Warn("put the end of a machine on record", "machine", r.Key, "err", err)
		return p.backoff(m)
	}
	p.killLater(m, why)
	return 0
}

// prepare gives a claimed machine the layers of its project.
func (p *Pool) prepare(ctx context.Context, m *machine, r Record) time.Duration {
	p.mu.Lock()
	v, target := p.layers[r.Volume], m.target(r)
	var disk VolumeRecord
	if v != nil {
		disk = v.rec
	}
	p.mu.Unlock()
	if disk.Machine != r.Key {
		return p.prepared(ctx, m, "Docker layer cache: none, its volume is gone", nil)
	}
	began := p.cfg.Clock()
	device, err := p.attach(ctx, r, v)
	if err != nil {
		var f *Fault
		fatal := errors.As(err, &f) && f.Class != FaultTransient || errors.Is(err, ci.ErrNotFound) || errors.Is(err, errStranger)
		if !fatal && p.cfg.Clock().Sub(r.Claimed) < p.cfg.Layers.Attach {
			return min(p.backoff(m), 10*time.Second)
		}
		p.cfg.Log.Warn("attach Docker layers", "machine", r.Key, "volume", disk.Key, "err", err)
		return p.prepared(ctx, m, "Docker layer cache: none, the volume could not be attached: "+err.Error(), nil)
	}
	s, err := p.access(ctx, m)
	if err != nil {
		p.killLater(m, "its key was lost")
		return 0
	}
	mounting, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	layers, err := p.guest.Mount(mounting, target, p.entry(s), device, disk.owner())
	if err != nil {
		if p.cfg.Clock().Sub(r.Claimed) < p.cfg.Layers.Attach {
			return min(p.backoff(m), 10*time.Second)
		}
		p.cfg.Log.Warn("mount Docker layers", "machine", r.Key, "volume", disk.Key, "err", err)
		if perr := p.guest.Probe(mounting, target, p.entry(s)); perr != nil {
			p.killLater(m, "it broke when its Docker layers were mounted: "+err.Error())
			return 0
		}
		return p.prepared(ctx, m, "Docker layer cache: none, the volume could not be mounted: "+err.Error(), nil)
	}
	return p.prepared(ctx, m, layerNote(p.layerRecord(v), layers, p.cfg.Clock().Sub(began)), &layers)
}

// layerNote tells a build whether it hit.
func layerNote(v VolumeRecord, l Layers, took time.Duration) string {
	took = took.Round(100 * time.Millisecond)
	switch {
	case !l.Fresh:
		return fmt.Sprintf("Docker layer cache: hit, %d images, %d MB on volume %s of this project, attached in %s", l.Images, l.Bytes>>20, v.ID, took)
	case v.Wipes > 0:
		return fmt.Sprintf("Docker layer cache: fresh, volume %s was not let go in order last time and is empty now", v.ID)
	}
	return fmt.Sprintf("Docker layer cache: fresh volume %s of %d GB, no other of this project was free", v.ID, v.GB)
}

// prepared writes that a machine is as its task needs it.
func (p *Pool) prepared(ctx context.Context, m *machine, note string, l *Layers) time.Duration {
	err := p.save(ctx, m, func(r *Record) {
		r.Delivered, r.Mounted = true, l != nil
		r.Notes = append(r.Notes[:len(r.Notes):len(r.Notes)], note)
	})
	if err != nil {
		return p.backoff(m)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	m.tries = 0
	switch {
	case l == nil:
		p.counts.Without++
	case l.Fresh:
		p.counts.Fresh++
	default:
		p.counts.Hits++
	}
	return p.cfg.Times.Lease
}

// errStranger says that a volume is not of the project that it was to serve.
var errStranger = errors.New("it belongs to another project")

// attach gives the volume to the machine and returns its device. That the
// volume is of the task's own project is checked here again, by the database
// and by the tag at the provider; the guest checks the marker on the disk.
func (p *Pool) attach(ctx context.Context, r Record, v *layer) (string, error) {
	calling, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	disk := p.layerRecord(v)
	if disk.affinity() != affinity(r.Project, r.Trust, r.Model.Arch) {
		return "", errStranger
	}
	d, err := p.docs.DocNamed(ctx, kindVolume, affinity(r.Project, r.Trust, r.Model.Arch), namePrefix+string(r.Task))
	if errors.Is(err, ci.ErrNotFound) || err == nil && d.ID != disk.Key {
		return "", errStranger
	}
	if err != nil {
		return "", err
	}
	if disk.ID == "" {
		made, err := p.volumes.CreateVolume(calling, disk.Key, disk.GB, r.Zone, p.volumeTags(disk))
		if err != nil {
			p.mu.Lock()
			v.tries++
			p.mu.Unlock()
			return "", err
		}
		next := disk
		next.ID, next.Zone = made.ID, made.Zone
		if err := p.saveLayer(ctx, v, next); err != nil {
			return "", err
		}
		disk = next
		p.mu.Lock()
		v.seen = made
		p.mu.Unlock()
	}
	p.mu.Lock()
	seen := v.seen
	p.mu.Unlock()
	if got := seen.Tags[TagProject]; seen.ID != "" && got != string(disk.Project) {
		return "", errStranger
	}
	return p.volumes.Attach(calling, disk.ID, r.ID)
}

func (p *Pool) volumeTags(v VolumeRecord) map[string]string {
	return map[string]string{
		TagInstall: p.cfg.Install, TagKey: v.Key, TagProject: string(v.Project), TagTrust: v.Trust,
	}
}

// saveLayer writes a volume's next record. Only who uses it, or has made it
// busy, may.
func (p *Pool) saveLayer(ctx context.Context, v *layer, next VolumeRecord) error {
	change, err := v.change(next, p.cfg.Clock())
	if err != nil {
		return err
	}
	got, err := p.docs.WriteDocs(ctx, change)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		v.stale = true
		p.moving[v.rec.Key] = v
		return err
	}
	v.version = got[0].Version
	next.Doomed = v.rec.Doomed // it may have been decided meanwhile
	p.setLayer(v, next)
	return nil
}
