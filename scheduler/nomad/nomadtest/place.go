package nomadtest

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/nomad/api"
)

// The agent is the one task of the one group.
const agentTask = "agent"

// placeAll tries to place what is pending.
func (s *Server) placeAll() {
	for _, id := range slices.Sorted(maps.Keys(s.jobs)) {
		if s.status(id) == "pending" {
			s.place(s.jobs[id])
		}
	}
}

// place gives a job an allocation, if a node has room for it; if not, an
// evaluation says why.
func (s *Server) place(j *api.Job) bool {
	m := &api.AllocationMetric{
		NodePool: *j.NodePool, NodesAvailable: map[string]int{}, ConstraintFiltered: map[string]int{}, DimensionExhausted: map[string]int{},
	}
	var best *api.NodeListStub
	for _, id := range slices.Sorted(maps.Keys(s.nodes)) {
		n := s.nodes[id]
		if !s.eligible(n, j) {
			continue
		}
		m.NodesInPool++
		m.NodesEvaluated++
		m.NodesAvailable[n.Datacenter]++
		if c := refused(n, j); c != "" {
			m.NodesFiltered++
			m.ConstraintFiltered[c]++
			continue
		}
		if what := s.short(n, j); what != "" {
			m.NodesExhausted++
			m.DimensionExhausted[what]++
			continue
		}
		if best == nil || prefers(j, n) {
			best = n
		}
	}
	e := &api.Evaluation{ID: s.id("e"), JobID: *j.ID, Type: "batch", Status: "complete", ModifyIndex: s.next(), CreateIndex: s.index}
	if best == nil {
		e.Status, e.FailedTGAllocs = "blocked", map[string]*api.AllocationMetric{agentTask: m}
		for _, old := range s.evals {
			if old.JobID == e.JobID && old.Status == "blocked" {
				delete(s.evals, old.ID)
			}
		}
	}
	s.evals[e.ID] = e
	s.emit(api.TopicEvaluation, "EvaluationUpdated", e.ID, map[string]any{"Evaluation": e})
	if best == nil {
		return false
	}
	s.start(j, best, e.ID)
	return true
}

func (s *Server) eligible(n *api.NodeListStub, j *api.Job) bool {
	in := slices.ContainsFunc(j.Datacenters, func(dc string) bool { ok, _ := path.Match(dc, n.Datacenter); return ok })
	return n.Status == api.NodeStatusReady && !n.Drain && n.SchedulingEligibility == api.NodeSchedulingEligible && in && n.NodePool == *j.NodePool
}

// refused returns the constraint that a node does not meet.
func refused(n *api.NodeListStub, j *api.Job) string {
	for _, c := range j.Constraints {
		value := map[string]string{"${node.class}": n.NodeClass, "${node.unique.id}": n.ID}[c.LTarget]
		if name, ok := strings.CutPrefix(c.LTarget, "${attr."); ok {
			value = n.Attributes[strings.TrimSuffix(name, "}")]
		}
		if !meets(value, c) {
			return c.LTarget + " " + c.Operand + " " + c.RTarget
		}
	}
	return ""
}

func meets(value string, c *api.Constraint) bool {
	if least, ok := strings.CutPrefix(c.RTarget, ">= "); ok && c.Operand == "semver" {
		return slices.Compare(numbers(value), numbers(least)) >= 0
	}
	return value == c.RTarget
}

// numbers are those of a version.
func numbers(version string) []int {
	var all []int
	release, _, _ := strings.Cut(version, "-")
	for part := range strings.SplitSeq(release, ".") {
		n, _ := strconv.Atoi(part)
		all = append(all, n)
	}
	return all
}

func prefers(j *api.Job, n *api.NodeListStub) bool {
	return slices.ContainsFunc(j.Affinities, func(a *api.Affinity) bool { return a.RTarget == n.ID })
}

// needs returns MHz and memory.
func needs(j *api.Job) (mhz, memory int64) {
	r := j.TaskGroups[0].Tasks[0].Resources
	if r.Cores != nil {
		mhz = int64(*r.Cores) * 1000
	} else if r.CPU != nil {
		mhz = int64(*r.CPU)
	}
	return mhz, int64(*r.MemoryMB)
}

// short returns what a node has too little of.
func (s *Server) short(n *api.NodeListStub, j *api.Job) string {
	mhz, memory := n.NodeResources.Cpu.CpuShares, n.NodeResources.Memory.MemoryMB
	for _, r := range s.allocs {
		if other := s.jobs[r.JobID]; r.NodeID == n.ID && !over(r.ClientStatus) && r.ClientStatus != api.AllocClientStatusLost && other != nil {
			a, b := needs(other)
			mhz, memory = mhz-a, memory-b
		}
	}
	a, b := needs(j)
	switch {
	case a > mhz:
		return "cpu"
	case b > memory:
		return "memory"
	}
	return ""
}

// start makes an allocation and runs its agent.
func (s *Server) start(j *api.Job, n *api.NodeListStub, eval string) {
	r := &run{stderr: new(tail), Allocation: api.Allocation{
		ID: s.id("a"), EvalID: eval, JobID: *j.ID, NodeID: n.ID, NodeName: n.Name, TaskGroup: agentTask, Namespace: "default",
		DesiredStatus: api.AllocDesiredStatusRun, ClientStatus: api.AllocClientStatusPending, CreateTime: time.Now().UnixNano(),
		TaskStates: map[string]*api.TaskState{},
	}}
	r.CreateIndex = s.next()
	s.allocs[r.ID] = r
	s.order = append(s.order, r.ID)
	s.launch(j, r)
}

// launch runs the agent, also when it is restarted.
func (s *Server) launch(j *api.Job, r *run) {
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	s.starts[r.JobID]++
	t := j.TaskGroups[0].Tasks[0]
	env := maps.Clone(t.Env)
	if env == nil {
		env = map[string]string{}
	}
	s.environment(j, r, env)
	r.TaskStates[agentTask] = &api.TaskState{State: "running", Events: []*api.TaskEvent{{Type: api.TaskReceived}, {Type: api.TaskStarted}}}
	s.set(r, api.AllocClientStatusRunning)
	in := Start{Alloc: r.ID, Job: r.JobID, Node: r.NodeName, Env: env, Payload: j.Payload, Stderr: r.stderr}
	go func() {
		defer cancel()
		err := s.agent(ctx, in)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.allocs[r.ID] != r || r.ClientStatus == api.AllocClientStatusLost {
			return
		}
		if err != nil {
			_, _ = fmt.Fprintln(r.stderr, err)
			s.end(r, api.AllocClientStatusFailed, err.Error(), 0)
		} else {
			s.end(r, api.AllocClientStatusComplete, "", 0)
		}
		s.placeAll()
	}()
}

// end ends an allocation, and does what its job wants then.
func (s *Server) end(r *run, status, why string, signal int) {
	if over(r.ClientStatus) {
		return
	}
	if r.killer != nil {
		r.killer.Stop()
	}
	failed := status == api.AllocClientStatusFailed
	state := *r.TaskStates[agentTask]
	e := &api.TaskEvent{Type: api.TaskTerminated, Time: time.Now().UnixNano(), Signal: signal, Details: map[string]string{}}
	if failed && signal == 0 {
		e.ExitCode, e.Message = 3, why
	}
	state.State, state.Failed, state.FinishedAt = "dead", failed, time.Now()
	state.Events = append(slices.Clone(state.Events), e)
	r.TaskStates = map[string]*api.TaskState{agentTask: &state}
	j := s.jobs[r.JobID]
	wanted := failed && r.DesiredStatus == api.AllocDesiredStatusRun && j != nil
	if wanted && r.tries < attempts(j.TaskGroups[0].Tasks[0].RestartPolicy) {
		r.tries++
		s.launch(j, r)
		return
	}
	s.set(r, status)
	if p := (*api.ReschedulePolicy)(nil); wanted {
		p = j.TaskGroups[0].ReschedulePolicy
		if p == nil || p.Attempts == nil || *p.Attempts > 0 || p.Unlimited != nil && *p.Unlimited {
			s.place(j)
		}
	}
}

// attempts is how often Nomad restarts a task of a batch job.
func attempts(p *api.RestartPolicy) int {
	if p == nil || p.Attempts == nil {
		return 3
	}
	return *p.Attempts
}

// replace starts another allocation for one out of sight, unless the job says
// not to.
func (s *Server) replace(r *run) {
	j := s.jobs[r.JobID]
	if j == nil || j.Stop != nil && *j.Stop {
		return
	}
	if d := j.TaskGroups[0].Disconnect; d == nil || d.Replace == nil || *d.Replace {
		s.place(j)
	}
}

// stop lets a job end: its agents are asked, and killed after their time.
func (s *Server) stop(id string) {
	j := s.jobs[id]
	j.Stop = new(true)
	wait := 5 * time.Second
	if t := j.TaskGroups[0].Tasks[0].KillTimeout; t != nil {
		wait = *t
	}
	for _, a := range s.order {
		r := s.allocs[a]
		if r.JobID != id || over(r.ClientStatus) {
			continue
		}
		r.DesiredStatus = api.AllocDesiredStatusStop
		s.set(r, r.ClientStatus)
		r.cancel()
		if r.killer == nil {
			r.killer = time.AfterFunc(wait, func() {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.end(r, api.AllocClientStatusFailed, "killed", 9)
				s.placeAll()
			})
		}
	}
}

// set gives an allocation a status, and tells.
func (s *Server) set(r *run, status string) {
	r.ClientStatus, r.ModifyIndex, r.ModifyTime = status, s.next(), time.Now().UnixNano()
	s.emit(api.TopicAllocation, "AllocationUpdated", r.ID, map[string]any{"Allocation": r.Allocation})
}

func (s *Server) nodeChanged(n *api.NodeListStub) {
	n.ModifyIndex = s.next()
	s.emit(api.TopicNode, "NodeEvent", n.ID, map[string]any{"Node": map[string]any{"ID": n.ID, "Name": n.Name}})
}
