package sim

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
)

// A border stands before the door and compares each answer with those before.
// Its clock counts calls, and so says which of two came first.
type border struct {
	mu    sync.Mutex
	clock int64

	grants   map[ci.TaskID]map[int64]grant
	finished map[handOut]int64 // when the first request to finish came
	acked    map[ci.TaskID]ended
	meant    map[handOut]map[string]ci.Status // what agents are about to say
	ran      map[ci.TaskID]handOut            // the epoch in which steps ran
	bytes    map[ci.LogKey]int64              // that are acknowledged
	canceled map[ci.JobID]time.Time
	liars    map[handOut]bool    // that said they sent what they had not
	again    map[ci.TaskID]bool  // of which it was said that their steps run again
	stored   map[ci.TaskID]int64 // the epoch of its ticket
	holders  map[handOut]string  // whose lease is stored
	answers  map[string]int
}

// A grant is who was given an epoch, and when that was told at the latest.
type grant struct {
	worker string
	told   int64
}

// An ended is an outcome that was acknowledged.
type ended struct {
	epoch  int64
	status ci.Status
}

func newBorder() *border {
	return &border{
		grants: map[ci.TaskID]map[int64]grant{}, finished: map[handOut]int64{}, acked: map[ci.TaskID]ended{},
		meant: map[handOut]map[string]ci.Status{}, ran: map[ci.TaskID]handOut{}, bytes: map[ci.LogKey]int64{},
		canceled: map[ci.JobID]time.Time{}, liars: map[handOut]bool{}, again: map[ci.TaskID]bool{}, stored: map[ci.TaskID]int64{}, holders: map[handOut]string{}, answers: map[string]int{},
	}
}

func (b *border) tick() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clock++
	return b.clock
}

// saw judges one answer.
func (b *border) saw(w *world, q request, began int64, code int, body []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.clock++
	b.answers[q.op]++
	name := w.nameOf(q.task)
	if q.op == "finish" && (b.finished[q.handOut] == 0 || began < b.finished[q.handOut]) {
		b.finished[q.handOut] = began
	}
	if code/100 != 2 {
		return
	}
	for epoch, g := range b.grants[q.task] {
		again := q.op == "finish" && b.finished[q.handOut] < g.told
		switch {
		case epoch > q.epoch && g.told < began && !again:
			w.trace.breaks("P4: %s: %s of epoch %d by %s was accepted after epoch %d was given to %s", name, q.op, q.epoch, q.worker, epoch, g.worker)
		case epoch == q.epoch && g.worker != q.worker:
			w.trace.breaks("P4: %s: %s of epoch %d by %s was accepted, which %s has", name, q.op, q.epoch, q.worker, g.worker)
		}
	}
	switch q.op {
	case "claim":
		// A lease that was taken away before the answer is stored as lost.
		if h := b.holders[q.handOut]; h != q.worker && h != "(lost)" {
			w.trace.breaks("P4: %s: epoch %d was given to %s, and stored is %q", name, q.epoch, q.worker, b.holders[q.handOut])
		}
		if b.grants[q.task] == nil {
			b.grants[q.task] = map[int64]grant{}
		}
		if _, known := b.grants[q.task][q.epoch]; !known {
			b.grants[q.task][q.epoch] = grant{q.worker, b.clock}
		}
	case "append":
		k := ci.LogKey{Task: q.task, Epoch: q.epoch, Step: q.step}
		// Its own bytes: the size that is told counts the door's mark too.
		b.bytes[k] = max(b.bytes[k], min(next(body), q.offset+int64(len(q.body))))
	case "finish":
		b.finishedAs(w, q, name)
	case "put":
		b.late(w, q, name)
	}
}

// finishedAs notes an outcome that is promised now.
func (b *border) finishedAs(w *world, q request, name string) {
	status := b.meant[q.handOut][q.worker]
	if old, known := b.acked[q.task]; known && old.epoch == q.epoch && old.status != status {
		w.trace.breaks("P9: %s: epoch %d finished as %s and as %s", name, q.epoch, old.status, status)
	}
	b.acked[q.task] = ended{q.epoch, status}
	job, index, _ := q.task.Split()
	id, err := w.db.JobWorkflow(context.Background(), job)
	f, _ := w.db.Workflow(context.Background(), id)
	if j := f.Attempt(job); err != nil || j == nil || !j.Tasks[index].Status.Ended() && !b.again[q.task] {
		w.trace.breaks("P9: %s: epoch %d was told that it has finished, and nothing of that is stored", name, q.epoch)
	}
}

// stores notes the tickets that are durable now.
func (b *border) stores(tickets []ci.Ticket) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, t := range tickets {
		b.stored[t.Task.ID] = t.Epoch
		if t.State == ci.TicketLeased && b.holders[handOut{t.Task.ID, t.Epoch}] == "" {
			b.holders[handOut{t.Task.ID, t.Epoch}] = plain(t.Worker)
		}
	}
}

// submits judges a hand-out that reaches the cluster.
func (b *border) submits(w *world, p scheduler.Placement) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.stored[p.Task.ID] < p.Epoch {
		w.trace.breaks("P4: %s: epoch %d reached the cluster, and stored is %d", w.taskName(p.Task), p.Epoch, b.stored[p.Task.ID])
	}
}

// late judges a step that was let through after its job was canceled. An agent
// has the time of its lease to notice, and so has a server that was away.
func (b *border) late(w *world, q request, name string) {
	job, _, _ := q.task.Split()
	at, canceled := b.canceled[job]
	if life := w.now(); canceled && life != nil && life.began.After(at) {
		at = life.began
	}
	if canceled && time.Since(at) > 7*time.Minute {
		w.trace.breaks("P27: %s: a step was let through %s after the cancel was acknowledged", name, time.Since(at))
	}
}

// reads notes of which tasks it is written that their steps run again, as an
// orderly stop of the server writes.
func (b *border) reads(w *ci.Workflow) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, j := range w.Jobs {
		for i, t := range j.Tasks {
			if strings.Contains(t.Reason, "its steps will run again") {
				b.again[j.ID.Task(i)] = true
			}
		}
	}
}

// means notes what an agent is about to report.
func (b *border) means(p scheduler.Placement, worker string, s ci.Status) {
	b.mu.Lock()
	defer b.mu.Unlock()
	h := handOut{p.Task.ID, p.Epoch}
	if b.meant[h] == nil {
		b.meant[h] = map[string]ci.Status{}
	}
	b.meant[h][worker] = s
}

// runs notes that commands of a task run now.
func (b *border) runs(w *world, p scheduler.Placement, worker string) {
	h := handOut{p.Task.ID, p.Epoch}
	b.mu.Lock()
	old, known := b.ran[h.task]
	b.ran[h.task] = h
	said := b.again[h.task]
	b.mu.Unlock()
	if known && old != h && !said {
		w.trace.breaks("P6: %s: commands ran in epoch %d, and again in epoch %d by %s, in silence", w.nameOf(h.task), old.epoch, h.epoch, worker)
	}
}

// cancel notes that the cancel of jobs was acknowledged.
func (b *border) cancel(jobs []ci.Job) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, j := range jobs {
		if _, known := b.canceled[j.ID]; !known && j.Status == ci.Canceled {
			b.canceled[j.ID] = time.Now()
		}
	}
}

// lied notes that an agent will say that it sent more than it has.
func (b *border) lied(p scheduler.Placement) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.liars[handOut{p.Task.ID, p.Epoch}] = true
}

// excused reports whether the log of a step may be shorter than its record says:
// its agent lied, and died before it finished, which is when the door looks.
func (b *border) excused(object string) bool {
	for h := range b.liars {
		if strings.HasSuffix(object, "of task "+string(h.task)) && b.acked[h.task].epoch != h.epoch {
			return true
		}
	}
	return false
}
