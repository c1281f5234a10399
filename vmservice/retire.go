package vmservice

import "github.com/rondo-ci/rondo/ci"

// Retire makes the pool give nothing out any more, for good: machines that no
// task has are ended, the others when their tasks end, and volumes are removed
// as they become free. Tasks that wait are forgotten; another pool serves them
// when they ask again. Twice is no harm.
func (p *Pool) Retire() {
	p.mu.Lock()
	p.retired = true
	for task, w := range p.waiting {
		if !w.taken {
			delete(p.waiting, task)
			p.unqueue(task)
		}
	}
	p.mu.Unlock()
	p.nudge()
}

// closed reports whether tasks get no machines now. The caller holds the lock.
func (p *Pool) closed() bool { return p.drained || p.retired }

// clearOut dooms what a pool that is retired need not keep. The caller holds
// the lock.
func (p *Pool) clearOut() {
	const why = "the settings name another provider"
	if !p.retired || !p.loaded {
		return
	}
	for _, m := range p.machines {
		if m.rec.State != Claimed && m.rec.State != Ending && m.kill == "" && !m.busy {
			p.doom(m, why)
		}
	}
	for _, v := range p.layers {
		if v.rec.Doomed == "" {
			p.doomLayer(v, why)
		}
	}
}

// empty reports whether the pool has, and its provider lists, nothing.
func (p *Pool) empty() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.loaded && len(p.machines) == 0 && len(p.layers) == 0 && !p.look.done.IsZero() && len(p.look.strange) == 0
}

// holding reports whether the pool has a machine for the task, also one that
// ends, under this epoch or a later one, and whether it has one under an earlier
// one. It is not sure before the records are read.
func (p *Pool) holding(task ci.TaskID, epoch int64) (has, older, sure bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range []*machine{p.byTask[task], p.leaving[task]} {
		if m != nil {
			has = has || m.rec.Epoch >= epoch
			older = older || m.rec.Epoch < epoch && m.rec.State == Claimed
		}
	}
	return has, older, p.loaded
}
