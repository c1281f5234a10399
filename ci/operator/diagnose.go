package operator

import (
	"fmt"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
)

// The diagnoses, in the order in which the guide looks for them.
const (
	// SchedulerDown: the scheduler has not loaded its tickets, has stopped, or
	// cannot write them (the guide's picard-scheduler).
	SchedulerDown = "scheduler_down"
	// DispatcherDown: events are not taken in, so nothing reaches the queue.
	DispatcherDown = "dispatcher_down"
	// LostBetweenDispatchers: the workflow has queued the task, its event was
	// taken in, and the queue does not know it.
	LostBetweenDispatchers = "lost_between_dispatchers"
	// Paused: nothing is handed out because the server is about to stop.
	Paused = "paused"
	// ClusterDown: the cluster does not answer.
	ClusterDown = "cluster_down"
	// NoNodes, AllDraining, NodesDown, CapacityExhausted and ClassTooBig are
	// the four things that the guide reads off the list of nodes, and the one
	// that it leaves out.
	NoNodes           = "no_nodes"
	AllDraining       = "all_draining"
	NodesDown         = "nodes_down"
	CapacityExhausted = "capacity_exhausted"
	ClassTooBig       = "class_too_big"
	// AgentNotStarting: it was placed, and its agent does not come up.
	AgentNotStarting = "agent_not_starting"
	// AgentsDoorBlocked: the agent runs and does not get through to the server
	// (the guide's port 8585).
	AgentsDoorBlocked = "agents_door_blocked"
	// NodeSilent: the node of a running task is out of sight.
	NodeSilent = "node_silent"
	// OutputNotArriving: an agent has the task, and no step of it is seen (the
	// guide's output-processor).
	OutputNotArriving = "output_not_arriving"
)

// How long each hop may take before it is a fault: none of them is a matter of
// load.
const (
	takeInTime  = 10 * time.Second // of an event by the scheduler
	startTime   = time.Minute      // of an agent that was placed
	claimTime   = 20 * time.Second // of a task by an agent that runs
	firstOutput = time.Minute      // of a task that was claimed
)

// Facts are what is known of one task and of what is around it.
type Facts struct {
	Now    time.Time
	Status ci.Status // of the task, as its workflow has it
	// Before is the same, read before LastEvent.
	Before ci.Status
	// Known says that the scheduler knows the task; Trace is what it knows, or
	// what the records say.
	Known bool
	Trace ci.Trace
	Why   ci.Reason
	State ci.QueueState
	// LastEvent is the number of the newest event, read before the rest.
	LastEvent uint64
	Steps     []ci.Step // of the hand-out
	Agent     string    // the last line that its agent has written
}

// Diagnose names what is wrong, or returns nil. It is pure.
func Diagnose(f Facts) *ci.Diagnosis {
	switch {
	case f.Status.Ended():
		return diagnoseEnded(f)
	case f.Status == ci.Running:
		return diagnoseRunning(f)
	}
	for _, look := range []func(Facts) *ci.Diagnosis{diagnoseScheduler, diagnoseNodes, diagnoseAgent} {
		if d := look(f); d != nil {
			return d
		}
	}
	return nil
}

// diagnoseScheduler looks at what stands before the cluster.
func diagnoseScheduler(f Facts) *ci.Diagnosis {
	s := f.State
	switch {
	case !s.Ready:
		return &ci.Diagnosis{
			Code: SchedulerDown, Text: "The scheduler is not at work: it is loading its tickets, or has stopped.",
			Fix: "Wait a minute; if it stays so, restart the server and look into its log for \"load backlog\".",
		}
	case s.Unwritten > 2:
		return &ci.Diagnosis{
			Code: SchedulerDown, Text: "The scheduler cannot write to the database, so it hands nothing out.",
			Fix:      "Look at the database and at the space on its disk. The scheduler goes on by itself.",
			Evidence: []string{fmt.Sprintf("%d writes in a row have failed", s.Unwritten)},
		}
	case !f.Known && s.Cursor < f.LastEvent && f.Now.Sub(f.Trace.Queued) > takeInTime:
		return &ci.Diagnosis{
			Code: DispatcherDown, Text: "The scheduler does not take in what happens, so the task never came to the queue.",
			Fix:      "Look into the log of the server for \"follow events\", and restart it. Nothing is lost.",
			Evidence: []string{fmt.Sprintf("it stands at event %d of %d", s.Cursor, f.LastEvent)},
		}
	case !f.Known && s.Cursor >= f.LastEvent && f.Before == ci.Queued && f.Status == ci.Queued:
		return &ci.Diagnosis{
			Code: LostBetweenDispatchers, Text: "The workflow has queued the task, and the queue does not know it: it was lost between the two.",
			Fix:      "It is put back into the queue as soon as somebody looks at it.",
			Evidence: []string{fmt.Sprintf("events up to %d were taken in", s.Cursor)},
		}
	case f.Why.Code == "paused":
		return &ci.Diagnosis{Code: Paused, Text: f.Why.Text, Fix: "Tasks start again when the server has been started again."}
	}
	return nil
}

// diagnoseNodes looks at the list of nodes, as the guide's step four.
func diagnoseNodes(f Facts) *ci.Diagnosis {
	var d ci.Diagnosis
	switch f.Why.Code {
	case "no_nodes":
		d = ci.Diagnosis{Code: NoNodes, Fix: "Start a machine that joins the cluster, and see that it may reach the server of the cluster (port 4647)."}
		if f.State.Trouble != "" {
			d = ci.Diagnosis{Code: ClusterDown, Fix: "See that the cluster's server runs and can be reached from here.", Evidence: []string{f.State.Trouble}}
		}
	case "draining":
		d = ci.Diagnosis{Code: AllDraining, Fix: "End the drain of a node with rondo node ready NAME, or add one."}
	case "nodes_down":
		d = ci.Diagnosis{Code: NodesDown, Fix: "Look at the nodes that are not ready: a certificate, a passphrase, or no heartbeat any more, as when port 4647 of the cluster's server is blocked."}
	case "capacity", "reserved":
		d = ci.Diagnosis{Code: CapacityExhausted, Fix: "Wait, or add nodes."}
		if f.State.Advice != "" {
			d.Fix = "Wait, or add nodes: " + f.State.Advice
		}
	case "class_too_big":
		d = ci.Diagnosis{Code: ClassTooBig, Fix: "Add a larger node, or choose a smaller resource class."}
	default:
		return nil
	}
	d.Text = f.Why.Text
	for _, n := range f.State.Nodes {
		line := fmt.Sprintf("%s: %s, %d allocations", n.Name, n.State, n.Tasks)
		if n.Reason != "" {
			line += ", " + n.Reason
		}
		if len(d.Evidence) < 10 {
			d.Evidence = append(d.Evidence, line)
		}
	}
	return &d
}

// diagnoseAgent looks at a task that was handed out and not claimed.
func diagnoseAgent(f Facts) *ci.Diagnosis {
	t := f.Trace
	switch {
	case t.Placed.IsZero() || !t.Claimed.IsZero():
	case f.Why.Code == "silent":
		return silent(f)
	case !t.Alive.IsZero() && (f.Now.Sub(t.Alive) > claimTime || unreachable(f.Agent)):
		return doorBlocked(f, fmt.Sprintf("its agent runs on node %s for %s and has not asked for the task", t.Node, f.Now.Sub(t.Alive).Round(time.Second)))
	case t.Alive.IsZero() && f.Now.Sub(t.Placed) > startTime:
		d := &ci.Diagnosis{
			Code: AgentNotStarting, Text: fmt.Sprintf("The task was handed to node %s and its agent does not start.", t.Node),
			Fix: "See what the cluster says of it with rondo nomad status " + t.ID + ", and whether the node can start anything.",
		}
		if t.Reason != "" {
			d.Evidence = []string{t.Reason}
		}
		return d
	}
	return nil
}

// diagnoseRunning looks at a task that an agent has.
func diagnoseRunning(f Facts) *ci.Diagnosis {
	switch claimed := f.Trace.Claimed; {
	case f.Why.Code == "silent":
		return silent(f)
	case !f.Known || claimed.IsZero() || len(f.Steps) > 0 || f.Now.Sub(claimed) < firstOutput:
		return nil
	default:
		return &ci.Diagnosis{
			Code: OutputNotArriving, Text: fmt.Sprintf("An agent on node %s has the task for %s, and nothing of a step has come.", f.Trace.Node, f.Now.Sub(claimed).Round(time.Second)),
			Fix: "Look at what the agent says: rondo nomad logs -job -stderr " + f.Trace.ID + ". It keeps the output and sends it when the server takes it.",
		}
	}
}

// diagnoseEnded knows the ends that speak of the installation, not of the job.
func diagnoseEnded(f Facts) *ci.Diagnosis {
	if f.Status == ci.InfraFailed && strings.Contains(f.Trace.Reason, "without asking for it") {
		return doorBlocked(f, f.Trace.Reason)
	}
	return nil
}

func silent(f Facts) *ci.Diagnosis {
	return &ci.Diagnosis{
		Code: NodeSilent, Text: f.Why.Text, Fix: "See whether the machine lives and reaches the cluster. If it comes back in time, the task goes on.",
	}
}

func doorBlocked(f Facts, evidence string) *ci.Diagnosis {
	d := &ci.Diagnosis{
		Code: AgentsDoorBlocked, Text: "The agent runs and does not get through to the server: the agents' door, port 8585, is blocked.",
		Fix:      "Let the nodes reach the agents' door of the server (port 8585 unless agents: in the settings says another one).",
		Evidence: []string{evidence},
	}
	if f.Agent != "" {
		d.Evidence = append(d.Evidence, "it says: "+f.Agent)
	}
	return d
}

// unreachable reports whether words are of somebody who gets no connection:
// the guide's "the connection is unavailable", and what Go and others say.
func unreachable(words string) bool {
	words = strings.ToLower(words)
	for _, s := range []string{"connection is unavailable", "connection refused", "no route to host", "i/o timeout", "no such host", "network is unreachable", "deadline exceeded"} {
		if strings.Contains(words, s) {
			return true
		}
	}
	return false
}
