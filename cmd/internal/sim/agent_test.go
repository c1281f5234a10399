package sim

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/api/door"
	"github.com/rondo-ci/rondo/scheduler"
)

// An agent does what a real one does, by the same door: it claims, renews, says
// that a step starts before it does, sends output until it is acknowledged, and
// finishes. It stops by itself when 9/11 of its lease have passed without a
// renewal.
type agent struct {
	w      *world
	p      scheduler.Placement
	worker string
	name   string // of its task and epoch, with the worker
	door   *door.Client
	lease  ci.Lease

	mu     sync.Mutex
	good   time.Time // when the last good renewal was asked for
	paused time.Time // until when nothing of it runs

	canceled, lost atomic.Bool
}

// Why an agent stops.
var (
	errDead   = errors.New("the agent is dead")
	errFenced = errors.New("the agent has fenced itself")
)

// agents is what the cluster runs for a placement: one agent, or two by mistake.
func (w *world) agents(ctx context.Context, p scheduler.Placement) error {
	name := fmt.Sprintf("%s e%d", w.taskName(p.Task), p.Epoch)
	var twin sync.WaitGroup
	if w.dice.strikes("cluster: starts two", name) {
		w.trace.say("fault   %s: the cluster starts two agents", name)
		twin.Go(func() { w.agent(ctx, p) })
	}
	w.agent(ctx, p)
	twin.Wait()
	return nil
}

// agent is one process. Its name is its own: a cluster that has forgotten a
// placement may start it again.
func (w *world) agent(ctx context.Context, p scheduler.Placement) {
	w.mu.Lock()
	h := handOut{p.Task.ID, p.Epoch}
	w.starts[h]++
	worker := string(rune('a' + w.starts[h] - 1))
	w.mu.Unlock()
	name := w.taskName(p.Task)
	a := &agent{w: w, p: p, worker: worker, name: fmt.Sprintf("%s e%d %s", name, p.Epoch, worker)}
	a.door = door.NewClient("http://door", p.Token, &http.Client{Transport: link{w, name + " " + worker}})
	if err := a.run(ctx); err != nil {
		w.trace.say("agent   %s ends: %v", a.name, err)
	}
}

// dies reports whether the agent dies here.
func (a *agent) dies(where string) bool {
	if !a.w.dice.strikes("agent: dies", a.name) {
		return false
	}
	a.w.trace.say("fault   %s dies %s", a.name, where)
	return true
}

// wait lets time pass, with the pauses that the whole agent has.
func (a *agent) wait(d time.Duration) {
	time.Sleep(d)
	for {
		a.mu.Lock()
		left := time.Until(a.paused)
		a.mu.Unlock()
		if left <= 0 {
			return
		}
		time.Sleep(min(left, 30*time.Second))
	}
}

// pause stops the whole agent for a while, as SIGSTOP does.
func (a *agent) pause() {
	if !a.w.dice.strikes("agent: pauses", a.name) {
		return
	}
	d := a.w.dice.between(10*time.Second, 10*time.Minute, a.name, "pause")
	a.w.trace.say("fault   %s is paused for %s", a.name, d)
	a.mu.Lock()
	a.paused = time.Now().Add(d)
	a.mu.Unlock()
	a.wait(0)
}

// ask makes a call until it is answered for good, or the agent must not go on.
func (a *agent) ask(f func(context.Context) error) error {
	for pause := 500 * time.Millisecond; ; pause = min(2*pause, 10*time.Second) {
		a.wait(0)
		a.mu.Lock()
		good := a.good
		a.mu.Unlock()
		switch {
		case a.w.yard.gone(a.p):
			return errDead
		case a.lost.Load(), !good.IsZero() && time.Since(good) > a.lease.TTL/11*9:
			return errFenced
		case good.IsZero() && time.Since(a.w.trace.began) > endOfTime:
			return errDead
		}
		a.pause() // after the look at the clock: the call comes as late as it can
		if a.w.yard.gone(a.p) {
			return errDead
		}
		err := f(context.Background())
		if err == nil || door.Final(err) {
			return err
		}
		a.wait(pause)
	}
}

func (a *agent) run(ctx context.Context) error {
	if a.dies("before it asks") {
		return nil
	}
	time.Sleep(a.w.dice.between(time.Millisecond, 3*time.Second, a.name, "start"))
	var work ci.Work
	asked := time.Now()
	err := a.ask(func(ctx context.Context) (err error) {
		asked = time.Now()
		work, err = a.door.Claim(ctx, a.p.Task.ID, a.p.Epoch, a.worker)
		return err
	})
	if err != nil {
		return fmt.Errorf("claim: %w", err)
	}
	a.lease = work.Lease
	a.mu.Lock()
	a.good = asked
	a.mu.Unlock()
	a.w.trace.say("agent   %s has the lease", a.name)
	if a.dies("with the lease") {
		return nil
	}
	stop := make(chan struct{})
	var keeper sync.WaitGroup
	keeper.Go(func() { a.keep(stop) })
	defer keeper.Wait()
	defer close(stop)
	return a.work(ctx, work)
}

// keep renews the lease.
func (a *agent) keep(stop chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(a.lease.Renew):
		}
		a.wait(0)
		if a.w.yard.gone(a.p) || a.lost.Load() {
			return
		}
		asked := time.Now()
		l, err := a.door.Renew(context.Background(), a.lease)
		switch {
		case err == nil:
			a.mu.Lock()
			a.good = asked
			a.mu.Unlock()
			if l.Canceled {
				a.canceled.Store(true)
			}
		case door.Final(err):
			a.lost.Store(true)
			return
		}
	}
}

// hangs stops the agent for good, until somebody kills it. One that the cluster
// has forgotten nobody can kill.
func (a *agent) hangs() bool {
	if !a.w.dice.strikes("agent: hangs", a.name) {
		return false
	}
	a.w.trace.say("fault   %s hangs", a.name)
	a.mu.Lock()
	a.paused = time.Now().Add(endOfTime)
	a.mu.Unlock()
	for began := time.Now(); !a.w.yard.gone(a.p) && time.Since(began) < 2*healLimit; {
		time.Sleep(5 * time.Second)
		if a.w.yard.forgot(a.p) && time.Since(began) > 30*time.Minute {
			break
		}
	}
	a.mu.Lock()
	a.paused = time.Time{}
	a.mu.Unlock()
	a.lost.Store(true)
	return true
}

// work runs the steps and finishes.
func (a *agent) work(ctx context.Context, work ci.Work) error {
	d := a.w.dice
	deaf := d.strikes("agent: is deaf", a.name)
	stopping := func() bool { return !deaf && (a.canceled.Load() || ctx.Err() != nil) }
	outcome := ci.Success
	switch n := d.n(20, a.w.taskName(a.p.Task), "outcome"); {
	case n < 3:
		outcome = ci.Failed
	case n == 3:
		outcome = ci.TimedOut
	}
	if err := a.step(0, ci.StepEnvironment, ci.Success, func() bool { return true }); err != nil {
		return err
	}
	steps := len(work.Job.Steps)
	for i := 1; i <= steps; i++ {
		status := ci.Success
		if i == steps {
			status = outcome
		}
		if stopping() {
			outcome = ci.Canceled
			break
		}
		if a.hangs() || a.dies("before a step") {
			return nil
		}
		if err := a.step(i, ci.StepRun, status, stopping); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
		if stopping() {
			outcome = ci.Canceled
			break
		}
	}
	if a.dies("before it finishes") {
		return nil
	}
	r := ci.Report{Status: outcome}
	a.w.border.means(a.p, a.worker, outcome)
	if err := a.ask(func(ctx context.Context) error { return a.door.Finish(ctx, a.lease, r) }); err != nil {
		return fmt.Errorf("finish as %s: %w", outcome, err)
	}
	a.w.trace.say("agent   %s has finished as %s", a.name, outcome)
	return nil
}

// step runs one step, with its output.
func (a *agent) step(index int, kind ci.StepKind, status ci.Status, stopping func() bool) error {
	s := ci.Step{Index: index, Kind: kind, Name: fmt.Sprint("step ", index), Status: ci.Running, Started: time.Now()}
	put := func(ctx context.Context) error { return a.door.PutStep(ctx, a.lease, s) }
	if err := a.ask(put); err != nil {
		return err
	}
	if a.w.yard.gone(a.p) {
		return errDead
	}
	if kind != ci.StepEnvironment {
		a.w.border.runs(a.w, a.p, a.worker)
	}
	out := output(a.p.Task.ID, a.p.Epoch, index, a.w.dice.n(4, a.name, "lines")*20)
	sent := 0
	for sent < len(out) {
		a.wait(a.w.dice.between(100*time.Millisecond, 20*time.Second, a.name, "line"))
		if kind != ci.StepEnvironment && stopping() {
			status, out = ci.Canceled, out[:sent]
			break
		}
		var err error
		if sent, err = a.send(index, out, sent); err != nil {
			return err
		}
	}
	sum := sha256.Sum256([]byte(out))
	s.Status, s.Stopped, s.Bytes, s.SHA256 = status, time.Now(), int64(len(out)), hex.EncodeToString(sum[:])
	if a.w.dice.strikes("agent: loses output", a.name) {
		s.Bytes += 100 // that nobody will ever have
		a.w.border.lied(a.p)
	}
	return a.ask(put)
}

// send sends some output, and perhaps some of what was sent before once more.
func (a *agent) send(step int, out string, sent int) (int, error) {
	from := max(sent-a.w.dice.n(200, a.name, "overlap"), 0)
	if a.w.dice.n(3, a.name, "overlaps") > 0 {
		from = sent
	}
	to := min(from+1+a.w.dice.n(1500, a.name, "size"), len(out))
	to = max(to, sent)
	if to == sent {
		to = min(sent+1, len(out))
	}
	err := a.ask(func(ctx context.Context) error {
		got, err := a.door.Append(ctx, a.lease, step, int64(from), []byte(out[from:to]))
		if err == nil && got < int64(to) {
			a.w.trace.breaks("%s step %d: %d bytes sent up to %d, only %d are taken", a.name, step, to-from, to, got)
		}
		return err
	})
	return to, err
}

// output is what a step writes: lines that say where they belong.
func output(task ci.TaskID, epoch int64, step, lines int) string {
	var b strings.Builder
	for i := range lines {
		fmt.Fprintf(&b, "%s epoch %d step %d line %d\n", task, epoch, step, i)
	}
	return b.String()
}

// longest is more output than any step has.
func longest(task ci.TaskID, epoch int64, step int) string { return output(task, epoch, step, 80) }
