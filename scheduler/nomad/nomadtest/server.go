package nomadtest

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/nomad/api"
)

// A Start is what an agent is started with.
type Start struct {
	Alloc, Job, Node string
	Env              map[string]string
	Payload          []byte
	Stderr           io.Writer
}

// An Agent is what runs in an allocation. Its context ends when it is asked to
// end; one that does not return in time counts as killed, see [Server.Alive].
type Agent func(ctx context.Context, s Start) error

// A Server is the fake. It is an [http.Handler], and [Server.Client] reaches it
// without a network, also within testing/synctest. Safe for concurrent use.
type Server struct {
	agent Agent

	mu      sync.Mutex
	index   uint64
	serial  int
	changed chan struct{} // closed and replaced at each change
	cut     chan struct{} // closed and replaced to end streams
	mute    bool
	fault   func(*http.Request) Fault
	jobs    map[string]*api.Job
	allocs  map[string]*run
	order   []string // of allocs
	evals   map[string]*api.Evaluation
	nodes   map[string]*api.NodeListStub
	events  []event
	starts  map[string]int // by job
	signing signing
}

// A Fault is what happens to a call. The zero Fault is nothing.
type Fault struct {
	Status int    // answered instead of doing it
	Text   string // of that answer
	Drop   bool   // the connection breaks, and nothing is done
	Lose   bool   // it is done, and the connection breaks before the answer
}

// A run is an allocation with its agent.
type run struct {
	api.Allocation
	cancel context.CancelFunc
	stderr *tail
	killer *time.Timer
	tries  int
}

// New returns a Nomad without nodes.
func New(agent Agent) *Server {
	s := &Server{
		agent: agent, index: 100, changed: make(chan struct{}), cut: make(chan struct{}),
		jobs: make(map[string]*api.Job), allocs: make(map[string]*run), evals: make(map[string]*api.Evaluation),
		nodes: make(map[string]*api.NodeListStub), starts: make(map[string]int),
	}
	s.rotate()
	return s
}

// Close kills all agents and ends all streams. Functions that are deaf may run
// on; they count as killed.
func (s *Server) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range s.order {
		s.end(s.allocs[id], api.AllocClientStatusFailed, "the server was closed", 9)
		s.allocs[id].cancel()
	}
	close(s.cut)
	s.cut = make(chan struct{})
}

// AddNode adds a ready node with so many CPUs of 1000 MHz and so much memory.
// change may change it before.
func (s *Server) AddNode(name string, cpus, memoryMB int, change func(*api.NodeListStub)) {
	cores := make([]uint16, cpus)
	for i := range cores {
		cores[i] = uint16(i)
	}
	n := &api.NodeListStub{
		ID: fmt.Sprintf("%08x-0000-4000-8000-%012x", len(s.nodes)+1, len(s.nodes)+1), Name: name, Datacenter: "dc1",
		NodePool: api.NodePoolDefault, Status: api.NodeStatusReady, SchedulingEligibility: api.NodeSchedulingEligible,
		Attributes: map[string]string{"kernel.name": "linux", "nomad.version": "2.0.0"},
		Drivers:    map[string]*api.DriverInfo{"raw_exec": {Detected: true, Healthy: true}},
		NodeResources: &api.NodeResources{
			Cpu:    api.NodeCpuResources{CpuShares: int64(cpus) * 1000, TotalCpuCores: uint16(cpus), ReservableCpuCores: cores},
			Memory: api.NodeMemoryResources{MemoryMB: int64(memoryMB)},
		},
	}
	if change != nil {
		change(n)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes[n.ID] = n
	s.nodeChanged(n)
	s.placeAll()
}

// SetFault lets f be asked before each call.
func (s *Server) SetFault(f func(*http.Request) Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fault = f
}

// Mute lets events get lost, or ends that.
func (s *Server) Mute(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mute = on
}

// CutStreams breaks all event streams.
func (s *Server) CutStreams() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.cut)
	s.cut = make(chan struct{})
}

// Rewind lets all indexes begin anew, as after a restore from a snapshot.
func (s *Server) Rewind() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.index, s.events = 1, nil
	for _, r := range s.allocs {
		r.CreateIndex, r.ModifyIndex = 1, 1
	}
	for _, e := range s.evals {
		e.ModifyIndex = 1
	}
	s.wake()
	close(s.cut)
	s.cut = make(chan struct{})
}

// Collect removes jobs that are dead, with all that belongs to them, as the
// garbage collector does after some hours.
func (s *Server) Collect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id := range s.jobs {
		if s.status(id) == "dead" {
			s.purge(id)
		}
	}
	s.next()
}

// SetNode gives a node another status: down kills its agents and loses its
// allocations, disconnected leaves the agents alone and makes the allocations
// unknown, ready brings it back. It reports whether there is such a node.
func (s *Server) SetNode(name, status string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.named(name)
	if n == nil {
		return false
	}
	n.Status = status
	s.nodeChanged(n)
	for _, id := range slices.Clone(s.order) {
		r := s.allocs[id]
		if r.NodeID != n.ID || over(r.ClientStatus) {
			continue
		}
		switch status {
		case api.NodeStatusDown:
			r.cancel()
			s.set(r, api.AllocClientStatusLost)
			s.replace(r)
		case "disconnected":
			s.set(r, api.AllocClientStatusUnknown)
			s.replace(r)
		case api.NodeStatusReady:
			s.set(r, api.AllocClientStatusRunning)
		}
	}
	s.placeAll()
	return true
}

// Second starts another allocation of a job, as a bug of Nomad's would.
func (s *Server) Second(job string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	j := s.jobs[job]
	return j != nil && s.place(j)
}

// Starts returns how often an agent was started for a job.
func (s *Server) Starts(job string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.starts[job]
}

// Jobs returns the IDs of all jobs, and their jobs.
func (s *Server) Jobs() map[string]api.Job {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]api.Job)
	for id, j := range s.jobs {
		all[id] = *j
	}
	return all
}

// Alive reports whether an allocation has an agent that was not killed.
func (s *Server) Alive(alloc string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.allocs[alloc]
	return r != nil && !over(r.ClientStatus) && r.ClientStatus != api.AllocClientStatusLost
}

// Status returns what Nomad calls a job: pending, running, dead, or "".
func (s *Server) Status(job string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status(job)
}

func (s *Server) status(id string) string {
	j := s.jobs[id]
	if j == nil {
		return ""
	}
	if j.ParameterizedJob != nil && !j.Dispatched {
		return "running"
	}
	any := false
	for _, a := range s.order {
		if r := s.allocs[a]; r.JobID == id {
			if any = true; !over(r.ClientStatus) && r.ClientStatus != api.AllocClientStatusLost {
				return "running"
			}
		}
	}
	if any || j.Stop != nil && *j.Stop {
		return "dead"
	}
	return "pending"
}

func (s *Server) purge(id string) {
	delete(s.jobs, id)
	s.order = slices.DeleteFunc(s.order, func(a string) bool { return s.allocs[a].JobID == id })
	maps.DeleteFunc(s.allocs, func(_ string, r *run) bool { return r.JobID == id })
	maps.DeleteFunc(s.evals, func(_ string, e *api.Evaluation) bool { return e.JobID == id })
}

func (s *Server) named(name string) *api.NodeListStub {
	for _, n := range s.nodes {
		if n.Name == name || n.ID == name {
			return n
		}
	}
	return nil
}

// next is the index of a change.
func (s *Server) next() uint64 {
	s.index++
	s.wake()
	return s.index
}

func (s *Server) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// id makes the identity of something.
func (s *Server) id(kind string) string {
	s.serial++
	return fmt.Sprintf("%s0000000-0000-4000-8000-%012x", kind, s.serial)
}

func over(status string) bool {
	return status == api.AllocClientStatusComplete || status == api.AllocClientStatusFailed
}

// A tail keeps what an agent writes.
type tail struct {
	mu   sync.Mutex
	text strings.Builder
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(p)
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.String()
}
