package scheduler

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// Explain says why a task is not running, or that it is. The codes of a task
// that waits: usage_limit (its organisation is at its limit), capacity (all
// nodes are full), reserved (room is kept for a larger task whose turn is
// before), no_nodes, draining (all nodes drain), nodes_down, class_too_big
// (until a larger node comes), retry (the cluster said not now), next (it is
// being placed), paused. Of one that was handed out: placed, running,
// canceling, silent (its node is out of sight), ending. Position counts in the
// usage queue of the organisation for usage_limit, in the run queue otherwise.
// A task that has ended or was never queued is [ci.ErrNotFound].
func (s *Scheduler) Explain(ctx context.Context, task ci.TaskID) (ci.Reason, error) {
	if err := s.await(ctx); err != nil {
		return ci.Reason{}, fmt.Errorf("explain task %s: %w", task, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.tasks[task]
	if e == nil {
		return ci.Reason{}, fmt.Errorf("explain task %s: it is not queued: %w", task, ci.ErrNotFound)
	}
	if e.stage != stageWaiting {
		return s.explainActive(e), nil
	}
	return s.explainWaiting(e, time.Now()), nil
}

// explainActive is about a task that was handed out.
func (s *Scheduler) explainActive(e *entry) ci.Reason {
	switch t := e.ticket; {
	case e.stage == stageSettling:
		return ci.Reason{Code: "ending", Text: "It has ended, and that is being written down."}
	case t.Canceled:
		return ci.Reason{Code: "canceling", Text: "It was canceled; its agent is stopping."}
	case e.interrupt != "":
		return ci.Reason{Code: "canceling", Text: "It is being stopped and will wait again: " + e.interrupt + "."}
	case e.leased() && e.silent:
		return ci.Reason{Code: "silent", Text: fmt.Sprintf("Node %s is out of sight; the task is lost if its agent is not heard of until its lease ends.", t.Node)}
	case e.leased():
		return ci.Reason{Code: "running", Text: fmt.Sprintf("It runs on node %s.", t.Node)}
	default:
		text := fmt.Sprintf("It was handed to node %s; its agent is starting.", t.Node)
		if e.trouble != "" {
			text = fmt.Sprintf("It was handed to node %s and does not start yet: %s.", t.Node, e.trouble)
		}
		return ci.Reason{Code: "placed", Text: text}
	}
}

// explainWaiting is about a task in one of the queues.
func (s *Scheduler) explainWaiting(e *entry, now time.Time) ci.Reason {
	inOrg := s.queue.rank(e, e.project.org)
	if free := s.queue.free(e.project.org); free >= 0 && inOrg > free && !e.promoted {
		position := inOrg - free
		var active []*entry
		for a := range s.active {
			if a.project.org == e.project.org {
				active = append(active, a)
			}
		}
		return ci.Reason{
			Code: "usage_limit", Position: position,
			Text: fmt.Sprintf("%s has %d tasks running, of %d that it may have at once.",
				says(e.ticket.Task.Org, "The organisation"), e.project.org.active, s.cfg.OrgLimit),
			Starts: s.forecast.start(now, active, position, s.forecast.takes(e)),
		}
	}
	r := s.obstacle(e, now)
	r.Position = s.queue.rank(e, nil)
	if r.Code == "capacity" || r.Code == "reserved" {
		active := make([]*entry, 0, len(s.active))
		for a := range s.active {
			active = append(active, a)
		}
		r.Starts = s.forecast.start(now, active, r.Position, s.forecast.takes(e))
	}
	return r
}

// obstacle says what keeps a task in the run queue.
func (s *Scheduler) obstacle(e *entry, now time.Time) ci.Reason {
	f := s.fleet
	ready, draining := f.in(NodeReady), f.in(NodeDraining)
	switch {
	case s.paused != "":
		return ci.Reason{Code: "paused", Text: "Nothing is started: " + s.paused + "."}
	case !f.known || len(f.nodes) == 0:
		text := "The cluster has no nodes."
		if f.trouble != "" {
			text = "The cluster does not answer: " + f.trouble + "."
		}
		return ci.Reason{Code: "no_nodes", Text: text}
	case f.tooBig(e.need):
		return ci.Reason{Code: "class_too_big", Text: "It waits for a larger node: " + s.tooBigText(e.class, e.need) + "."}
	case ready == 0 && draining > 0:
		return ci.Reason{Code: "draining", Text: fmt.Sprintf("All %d nodes that work are draining and take nothing new.", draining)}
	case ready == 0:
		return ci.Reason{Code: "nodes_down", Text: fmt.Sprintf("None of %d nodes is ready: %s.", len(f.nodes), s.whyDown())}
	case e.notBefore.After(now):
		return ci.Reason{Code: "retry", Text: "The cluster did not take it just now; it is tried again in a moment."}
	case f.best(e.need, func(*Node, Resources) bool { return true }) == nil:
		return ci.Reason{Code: "capacity", Text: s.capacityText(e)}
	case s.reserved != nil && s.reserved.entry != e && f.best(e.need, s.spares) == nil:
		return ci.Reason{Code: "reserved", Text: fmt.Sprintf("The room on node %s is kept for job %s, which is larger and was there before.",
			s.reserved.node, s.reserved.entry.ticket.Task.Name)}
	}
	return ci.Reason{Code: "next", Text: "It is about to be placed."}
}

// whyDown returns what the nodes that are not ready say.
func (s *Scheduler) whyDown() string {
	for i := range s.fleet.nodes {
		if n := &s.fleet.nodes[i]; n.Reason != "" {
			return n.Name + " says " + n.Reason
		}
	}
	return "they are down"
}

// capacityText says how full the nodes are, and what would help.
func (s *Scheduler) capacityText(e *entry) string {
	f := s.fleet
	var most Resources
	for i := range f.nodes {
		if n := &f.nodes[i]; n.State == NodeReady {
			if free := f.free(n); free.share() > most.share() || most == (Resources{}) {
				most = free
			}
		}
	}
	text := fmt.Sprintf("All %d ready nodes are full: %d tasks run; it needs %s, and no node has more free than %s.",
		f.in(NodeReady), len(s.active), e.need, most)
	if more := s.advice(); more != "" {
		text += " " + more
	}
	return text
}

// tooBigText says that no node can hold a class.
func (s *Scheduler) tooBigText(class string, need Resources) string {
	n := s.fleet.biggest()
	return fmt.Sprintf("resource class %s needs %s, and the biggest node, %s, has %s", class, need, n.Name, n.Capacity)
}

// missingNodes returns how many more nodes, as big as the biggest, would hold
// all that stands in the run queue.
func (s *Scheduler) missingNodes() int {
	big := s.fleet.biggest()
	if big == nil || big.Capacity.CPU <= 0 || big.Capacity.MemoryMB <= 0 || s.queue.waiting == 0 {
		return 0
	}
	var sum Resources
	for _, d := range s.queue.classes {
		got := big.wants(d.need)
		sum = sum.plus(Resources{got.CPU * float64(d.waiting), got.MemoryMB * d.waiting})
	}
	run := 0 // of these, as many as the limits allow
	for _, o := range s.queue.orgs {
		run += o.runnable(s.queue.free(o))
	}
	part := float64(run) / float64(s.queue.waiting)
	return int(math.Ceil(part * max(sum.CPU/big.Capacity.CPU, float64(sum.MemoryMB)/float64(big.Capacity.MemoryMB))))
}
