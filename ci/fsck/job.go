package fsck

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/rondo-ci/rondo/ci"
)

// job checks one attempt of a job, its tasks, their steps and their output.
func (x *exam) job(ctx context.Context, l *list, w *ci.Workflow, j ci.Job, numbers map[int64]ci.JobID) error {
	object := fmt.Sprintf("job %s (%s)", j.ID, j.Name)
	if !legal(j.Status, false) {
		l.add(JobStatus, object, fmt.Sprintf("has the status %q", j.Status), restore)
	}
	if !j.Started.IsZero() && j.Started.Before(j.Queued) || !j.Stopped.IsZero() && !j.Started.IsZero() && j.Stopped.Before(j.Started) {
		l.add(JobTimes, object, "was queued, began and ended in another order", "check the clock of the server")
	}
	if j.Type == ci.JobBuild && !j.Kept {
		if other, ok := numbers[j.Number]; j.Number < 1 || ok && other != j.ID {
			l.add(JobNumber, object, fmt.Sprintf("has the number %d, as %q has", j.Number, other), restore)
		} else {
			numbers[j.Number] = j.ID
		}
	}
	if len(j.Tasks) == 0 || j.Kept {
		return nil
	}
	if len(j.Tasks) != max(j.Parallelism, 1) {
		l.add(JobTasks, object, fmt.Sprintf("has %d tasks and the parallelism %d", len(j.Tasks), j.Parallelism), restore)
	}
	x.outcome(l, object, j)
	for i, t := range j.Tasks {
		id := j.ID.Task(i)
		x.tasks[id] = task{ended: t.Status.Ended(), epoch: t.Epoch}
		x.task(l, id, t)
		if t.Epoch < 1 || x.Records == nil {
			continue
		}
		if err := x.steps(ctx, l, id, t); err != nil {
			return err
		}
	}
	return nil
}

// outcome checks that a job is what its tasks are.
func (x *exam) outcome(l *list, object string, j ci.Job) {
	all := func(holds func(ci.Status) bool) bool {
		return !slices.ContainsFunc(j.Tasks, func(t ci.TaskState) bool { return !holds(t.Status) })
	}
	wrong := ""
	switch {
	case j.Status == ci.Success && !all(func(s ci.Status) bool { return s == ci.Success }):
		wrong = "is a success, and one of its tasks is not"
	case j.Status.Bad() && j.Status != ci.Unauthorized && all(func(s ci.Status) bool { return s == ci.Success }):
		wrong = fmt.Sprintf("is %s, and all its tasks are a success", j.Status)
	case !j.Status.Ended() && all(ci.Status.Ended):
		wrong = fmt.Sprintf("is %s, and all its tasks have ended", j.Status)
	}
	if wrong != "" {
		l.add(JobOutcome, object, wrong, "run it again")
	}
}

// task checks a task against the queue.
func (x *exam) task(l *list, id ci.TaskID, t ci.TaskState) {
	object := "task " + string(id)
	if !legal(t.Status, false) {
		l.add(TaskStatus, object, fmt.Sprintf("has the status %q", t.Status), restore)
		return
	}
	if t.Epoch < 1 && (t.Status == ci.Running || t.Status == ci.Success) {
		l.add(TaskEpoch, object, fmt.Sprintf("is %s, and was never handed out", t.Status), restore)
	}
	job, _, _ := id.Split()
	if _, ok := x.tickets[id]; !ok && x.Tickets != nil && !x.unread[job] && (t.Status == ci.Queued || t.Status == ci.Running) {
		l.add(JobTicket, object, fmt.Sprintf("is %s, and the queue does not know it", t.Status), "restart the server: it takes in what is missing; else cancel the job")
	}
}

// steps checks the steps of a task's newest hand-out.
func (x *exam) steps(ctx context.Context, l *list, id ci.TaskID, t ci.TaskState) error {
	all, err := x.Records.Steps(ctx, id, t.Epoch)
	if err != nil && !errors.Is(err, ci.ErrNotFound) {
		return fmt.Errorf("steps of task %s: %w", id, err)
	}
	for i, s := range all {
		object := fmt.Sprintf("step %d of task %s", s.Index, id)
		// An agent that died may have left the record of its first step unsent.
		if s.Index != i && (t.Status == ci.Success || t.Status == ci.Failed) {
			l.add(StepGap, object, fmt.Sprintf("is the one with the number %d", i), restore)
		}
		if !legal(s.Status, false) {
			l.add(StepStatus, object, fmt.Sprintf("has the status %q", s.Status), restore)
		}
		if !s.Stopped.IsZero() && s.Stopped.Before(s.Started) {
			l.add(StepTimes, object, "ended before it began", "check the clock of the agent's machine")
		}
		if s.Status == ci.Running && t.Status == ci.Success {
			l.add(StepRunning, object, "runs, and its task is a success", "none is needed: the output is what was sent")
		}
		if s.SHA256 != "" && s.Lost == 0 && s.Status.Ended() && x.ReadLog != nil && !x.cfg.Quick {
			x.output(ctx, l, object, ci.LogKey{Task: id, Epoch: t.Epoch, Step: s.Index}, s)
		}
	}
	return nil
}

// output checks a step's output against what its agent told. What the agent
// could not keep stands in the output itself, so the hash is of what is there.
func (x *exam) output(ctx context.Context, l *list, object string, k ci.LogKey, s ci.Step) {
	r, err := x.ReadLog(ctx, k)
	if errors.Is(err, ci.ErrNotFound) && s.Bytes == 0 {
		return
	}
	if err != nil {
		l.add(LogUnreadable, object, "its output cannot be read: "+err.Error(), "see the folder of logs, or the bucket")
		return
	}
	defer r.Close()
	h := sha256.New()
	n, err := io.Copy(h, r)
	switch {
	case err != nil:
		l.add(LogUnreadable, object, "its output cannot be read: "+err.Error(), "see the folder of logs, or the bucket")
	case n != s.Bytes:
		l.add(LogLength, object, fmt.Sprintf("its output has %d bytes, and its agent sent %d", n, s.Bytes), "restore the logs of a backup")
	case hex.EncodeToString(h.Sum(nil)) != s.SHA256:
		l.add(LogHash, object, "its output is not what its agent sent", "restore the logs of a backup")
	}
}

// queue checks tickets against the tasks.
func (x *exam) queue(ctx context.Context) error {
	return x.confirm(ctx, func(ctx context.Context, l *list) error {
		if x.Tickets == nil {
			return nil
		}
		for t, err := range x.Tickets(ctx) {
			if err != nil {
				if errors.Is(err, ci.ErrInvalid) {
					continue
				}
				return fmt.Errorf("queue: %w", err)
			}
			object := "ticket of task " + string(t.Task.ID)
			known, ok := x.tasks[t.Task.ID]
			if !ok {
				if _, err := x.Store.JobWorkflow(ctx, t.Task.Job); errors.Is(err, ci.ErrNotFound) {
					l.add(TicketOrphan, object, "is of a job that does not exist", "restart the server: it forgets it")
				}
				continue
			}
			switch t.State {
			case ci.TicketWaiting, ci.TicketPlaced:
			case ci.TicketLeased:
				if t.Worker == "" || t.Expires.IsZero() {
					l.add(TicketLease, object, "is claimed, and by nobody or for ever", "restart the server")
				}
			default:
				l.add(TicketState, object, fmt.Sprintf("has the state %q", t.State), "restore a backup")
			}
			if known.ended && !x.unread[t.Task.Job] && !x.dying(t) {
				l.add(TicketEnded, object, "waits in the queue, and the task has ended", "restart the server: it forgets it")
			}
			if t.Epoch < known.epoch {
				l.add(TicketEpoch, object, fmt.Sprintf("has the epoch %d, and the job knows %d", t.Epoch, known.epoch), "cancel the job: an old agent could be taken for the new one")
			}
		}
		return nil
	})
}

// dying reports whether a ticket may be left of a task that was with its agent
// when the server was killed, right after the end was written: the next start
// strikes it. While a server runs, none is left for long.
func (x *exam) dying(t ci.Ticket) bool {
	return x.cfg.Again < 0 && (t.State == ci.TicketPlaced || t.State == ci.TicketLeased)
}
