package scheduler

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// historySize is how many hand-outs that have ended are remembered for people.
const historySize = 1000

// A history remembers the hand-outs that ended last. It is lost with the
// process; what became of a task stands in its workflow.
type history struct {
	ring []ci.Trace
	next int
}

func (h *history) add(t ci.Trace) {
	if len(h.ring) < historySize {
		h.ring = append(h.ring, t)
		return
	}
	h.ring[h.next] = t
	h.next = (h.next + 1) % historySize
}

// up reports whether the tickets are loaded and Run goes on.
func (s *Scheduler) up() bool {
	select {
	case <-s.stopped:
		return false
	default:
	}
	select {
	case <-s.ready:
		return true
	default:
		return false
	}
}

// outcome says how a hand-out ended, for people.
func outcome(how ending) string {
	text := string(how.status)
	if how.reason != "" {
		text += ": " + how.reason
	}
	return text
}

// left returns when an entry that is in the run queue left the usage queue: at
// once, when a place in the limit became free, or when it was promoted.
func (e *entry) left() time.Time {
	switch {
	case e.promoted && !e.runnable.IsZero():
		return e.runnable
	case e.project != nil && e.project.org.opened.After(e.lined):
		return e.project.org.opened
	}
	return e.lined
}

// trace returns what is known of an entry.
func (s *Scheduler) trace(e *entry, reason string, over bool) ci.Trace {
	t := e.ticket
	epoch := t.Epoch
	if e.stage == stageWaiting {
		epoch++ // the one that it will have
	}
	r := ci.Trace{
		ID: JobIDOf(t.Task, epoch).String(), Allocation: Allocation(t.Task.ID, epoch), Task: t.Task, Epoch: epoch,
		State: string(PlacementPending), Node: t.Node, Reason: reason, Queued: utc(e.lined), Runnable: utc(e.runnable),
	}
	if e.lined.IsZero() {
		r.Queued = utc(t.Task.Queued)
	}
	if e.stage != stageWaiting {
		r.Placed, r.Alive, r.Claimed = utc(e.since), utc(e.alive), utc(e.claimed)
	}
	switch {
	case over:
		r.State, r.Ended = string(PlacementDead), time.Now().UTC().Round(0)
	case e.stage == stageSettling:
		r.State, r.Reason = string(PlacementDead), cmp.Or(r.Reason, "its outcome is being written down")
	case e.running && e.stage == stageActive, e.leased():
		r.State = string(PlacementRunning)
	}
	if r.Reason == "" {
		r.Reason = e.trouble
	}
	return r
}

// Allocation returns the name of the place that a hand-out has on a node, a
// UUID that follows from the two.
func Allocation(task ci.TaskID, epoch int64) string {
	return ci.NameID("allocation " + string(task) + " " + strconv.FormatInt(epoch, 10))
}

// Trace returns how a task has come so far: in its hand-out now, in the queue,
// or in its last one if that ended lately. False is that nothing is known.
func (s *Scheduler) Trace(task ci.TaskID) (ci.Trace, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.tasks[task]; e != nil {
		t := s.trace(e, "", false)
		if e.stage == stageWaiting && t.Runnable.IsZero() && s.runs(e) {
			t.Runnable = utc(e.left())
		}
		return t, true
	}
	var last ci.Trace
	for _, t := range s.history.ring {
		if t.Task.ID == task && t.Epoch >= last.Epoch && (last.Ended.IsZero() || t.Ended.After(last.Ended)) {
			last = t
		}
	}
	return last, last.ID != ""
}

// runs reports whether a waiting entry stands in the run queue.
func (s *Scheduler) runs(e *entry) bool {
	free := s.queue.free(e.project.org)
	return free < 0 || e.promoted || s.queue.rank(e, e.project.org) <= free
}

// Traces returns all hand-outs, the first so many tasks of the run queue, and
// those that ended last, by time of queueing.
func (s *Scheduler) Traces(waiting int) []ci.Trace {
	var run []ci.Ticket
	if waiting > 0 { // it looks at the whole queue
		run, _, _ = s.Queue(RunQueue, waiting)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	all := slices.Clone(s.history.ring)
	for e := range s.active {
		all = append(all, s.trace(e, "", false))
	}
	for _, t := range run {
		if e := s.tasks[t.Task.ID]; e != nil && e.stage == stageWaiting {
			w := s.trace(e, "", false)
			w.Runnable = utc(e.left())
			all = append(all, w)
		}
	}
	slices.SortFunc(all, func(a, b ci.Trace) int {
		return cmp.Or(a.Task.Queued.Compare(b.Task.Queued), cmp.Compare(a.Task.ID, b.Task.ID), cmp.Compare(a.Epoch, b.Epoch))
	})
	return all
}

// State returns how the queue and the nodes stand, in the words of operators.
func (s *Scheduler) State() ci.QueueState {
	n := s.Snapshot()
	q := ci.QueueState{
		Ready: n.Ready, Trouble: n.Trouble, Unwritten: n.Unwritten, Paused: n.Paused, Cursor: n.Cursor,
		Usage: n.Usage, Run: n.Run, Placed: n.Placed, Running: n.Running, Oldest: n.Oldest,
	}
	for _, node := range n.Nodes {
		q.Nodes = append(q.Nodes, ci.Node{
			ID: cmp.Or(node.ID, ci.NameID("node "+node.Name)), Name: node.Name,
			Class: cmp.Or(node.Class, "linux-64bit"), Datacenter: cmp.Or(node.Datacenter, "us-east-1"),
			State: string(node.State), Reason: node.Reason, Drain: node.State == NodeDraining,
			CPU: node.Capacity.CPU, UsedCPU: node.Used.CPU, MemoryMB: node.Capacity.MemoryMB, UsedMemoryMB: node.Used.MemoryMB,
			Tasks: node.Placements, Safe: node.SafeToTerminate,
		})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.Run > 0 && !s.room() {
		q.Missing, q.Advice = n.Missing, s.advice()
	}
	return q
}

// advice says what would start all that stands in the run queue.
func (s *Scheduler) advice() string {
	n, big := s.missingNodes(), s.fleet.biggest()
	if n == 0 || big == nil {
		return ""
	}
	word := "nodes"
	if n == 1 {
		word = "node"
	}
	return fmt.Sprintf("%d more %s of %s CPUs and %d MB, like node %s, would start all that waits.",
		n, word, strconv.FormatFloat(big.Capacity.CPU, 'f', -1, 64), big.Capacity.MemoryMB, big.Name)
}

// Adopt makes the ticket of a task that the workflow has queued and the queue
// does not know: its event was lost. It returns whether there was one to make.
// The caller must know that the event lies behind the cursor.
func (s *Scheduler) Adopt(t ci.Task) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tasks[t.ID] != nil || !s.up() {
		return false
	}
	s.log.Warn("a queued task had no ticket, it gets one", "task", t.ID)
	n := s.enter(ci.Ticket{Task: t, State: ci.TicketWaiting})
	s.mark(n)
	s.line(n)
	s.kick()
	return true
}

// aliveTime is how often the log says that the scheduler is there, as in the
// guide's "Check Picard-Dispatcher Logs for Errors".
const aliveTime = 2 * time.Minute

// sayAlive is the heartbeat in the log.
func (s *Scheduler) sayAlive() {
	n := s.Snapshot()
	s.log.Info("Still running...", "usage_queue", n.Usage, "run_queue", n.Run, "placed", n.Placed, "running", n.Running, "nodes", len(n.Nodes))
}

// sayTaking notes a job that comes into the queue, in the words that operators
// look for: "taking build=org/repo/number".
func (s *Scheduler) sayTaking(t ci.Task) {
	class, need, err := s.cfg.class(t)
	if err != nil { // it is reported
		return
	}
	s.log.Info(fmt.Sprintf("taking build=%s/%s/%d", t.Org, t.Repo, t.Number), "job", t.Job, "class", class, "cpu", need.CPU, "ram", need.MemoryMB, "parallel", max(t.Total, 1))
}

// sayForwarded notes that a task leaves the usage queue, and sayFinished that
// one has ended, which may let another one out: in the words by which the guide
// knows that its dispatcher works. All of them are the dispatcher's.
func (s *Scheduler) sayForwarded(t ci.Task) {
	s.log.Info(fmt.Sprintf("%s/%s/%d -> forwarded to run-queue", t.Org, t.Repo, t.Number), "task", t.ID)
	s.log.Info("publishing :usage-changed event", "org", t.Org)
}

func (s *Scheduler) sayFinished(t ci.Task) {
	s.log.Info(fmt.Sprintf("got usage-queue event for %s (finished-build)", t.Org), "build", fmt.Sprintf("%s/%s/%d", t.Org, t.Repo, t.Number), "task", t.ID)
}

// sayOn is the first line of a scheduler that is at work.
func (s *Scheduler) sayOn() {
	s.log.Info("dispatcher mode is on", "org_limit", s.cfg.OrgLimit)
}
