package nomadtest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/nomad/api"
)

// ServeHTTP answers as Nomad does.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	fault := s.fault
	s.mu.Unlock()
	var f Fault
	if fault != nil {
		f = fault(r)
	}
	switch {
	case f.Drop:
		panic(http.ErrAbortHandler)
	case f.Status != 0:
		http.Error(w, cmp.Or(f.Text, "as the test wanted"), f.Status)
		return
	case f.Lose:
		s.mux().ServeHTTP(discard{}, r)
		panic(http.ErrAbortHandler)
	}
	s.mux().ServeHTTP(w, r)
}

// discard is an answer that gets lost.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}

func (s *Server) mux() *http.ServeMux {
	mux := http.NewServeMux()
	at := func(pattern string, f func(r *http.Request) (any, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			s.wait(r)
			s.mu.Lock()
			v, err := f(r)
			index := s.index
			s.mu.Unlock()
			answer(w, v, err, index)
		})
	}
	at("GET /v1/acl/token/self", func(*http.Request) (any, error) { return api.ACLToken{Name: "the test's"}, nil })
	at("GET /v1/namespace/{name}", func(r *http.Request) (any, error) { return api.Namespace{Name: r.PathValue("name")}, nil })
	at("GET /.well-known/jwks.json", s.keys)
	at("PUT /v1/jobs", s.register)
	at("GET /v1/jobs", s.listJobs)
	at("GET /v1/job/{job...}", s.job)
	at("PUT /v1/job/{job...}", s.dispatch)
	at("DELETE /v1/job/{job...}", s.deregister)
	at("GET /v1/allocations", func(*http.Request) (any, error) { return s.stubs(""), nil })
	at("GET /v1/allocation/{alloc}", func(r *http.Request) (any, error) {
		if a := s.allocs[r.PathValue("alloc")]; a != nil {
			return a.Allocation, nil
		}
		return nil, notFound("alloc")
	})
	at("GET /v1/nodes", func(*http.Request) (any, error) {
		var all []api.NodeListStub
		for _, n := range s.nodes {
			all = append(all, *n)
		}
		return all, nil
	})
	at("PUT /v1/node/{node}/drain", s.drain)
	at("PUT /v1/client/allocation/{alloc}/signal", s.signal)
	mux.HandleFunc("GET /v1/client/fs/logs/{alloc}", s.logs)
	mux.HandleFunc("GET /v1/event/stream", s.stream)
	return mux
}

// An httpError is an answer that is not 200.
type httpError struct {
	code int
	text string
}

func (e httpError) Error() string { return e.text }

var notFound = func(what string) error { return httpError{http.StatusNotFound, what + " not found"} }

func answer(w http.ResponseWriter, v any, err error, index uint64) {
	w.Header().Set("X-Nomad-Index", strconv.FormatUint(index, 10))
	w.Header().Set("X-Nomad-LastContact", "0")
	w.Header().Set("X-Nomad-KnownLeader", "true")
	if e, ok := err.(httpError); ok {
		http.Error(w, e.text, e.code)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

// wait is a blocking query.
func (s *Server) wait(r *http.Request) {
	index, _ := strconv.ParseUint(r.URL.Query().Get("index"), 10, 64)
	if index == 0 {
		return
	}
	d, err := time.ParseDuration(r.URL.Query().Get("wait"))
	if err != nil {
		d = 5 * time.Minute
	}
	t := time.NewTimer(d)
	defer t.Stop()
	for {
		s.mu.Lock()
		now, changed, cut := s.index, s.changed, s.cut
		s.mu.Unlock()
		if now != index {
			return
		}
		select {
		case <-changed:
		case <-cut:
			return
		case <-t.C:
			return
		case <-r.Context().Done():
			return
		}
	}
}

func (s *Server) register(r *http.Request) (any, error) {
	var in api.JobRegisterRequest
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Job == nil || in.Job.ID == nil {
		return nil, httpError{400, "no job"}
	}
	j := in.Job
	if old := s.jobs[*j.ID]; old != nil {
		if in.EnforceIndex {
			return nil, httpError{500, fmt.Sprintf("%s %d: job already exists", api.RegisterEnforceIndexErrPrefix, in.JobModifyIndex)}
		}
		return api.JobRegisterResponse{}, nil
	}
	s.admit(j)
	return api.JobRegisterResponse{JobModifyIndex: s.index}, nil
}

// admit takes a job in and tries to place it.
func (s *Server) admit(j *api.Job) {
	if j.NodePool == nil {
		j.NodePool = new(api.NodePoolDefault)
	}
	j.SubmitTime, j.CreateIndex = new(time.Now().UnixNano()), new(s.next())
	s.jobs[*j.ID] = j
	if j.ParameterizedJob == nil || j.Dispatched {
		s.place(j)
	}
}

func (s *Server) dispatch(r *http.Request) (any, error) {
	id, ok := strings.CutSuffix(r.PathValue("job"), "/dispatch")
	parent := s.jobs[id]
	var in api.JobDispatchRequest
	switch err := json.NewDecoder(r.Body).Decode(&in); {
	case !ok || parent == nil || parent.ParameterizedJob == nil:
		return nil, notFound("parameterized job")
	case err != nil:
		return nil, httpError{400, err.Error()}
	case len(in.Payload) > 16<<10:
		return nil, httpError{400, "Payload exceeds maximum size; 16384"}
	}
	token := r.URL.Query().Get("idempotency_token")
	for _, j := range s.jobs {
		if token != "" && j.DispatchIdempotencyToken != nil && *j.DispatchIdempotencyToken == token {
			return api.JobDispatchResponse{DispatchedJobID: *j.ID}, nil
		}
	}
	s.serial++
	child := *parent
	child.ID = new(fmt.Sprintf("%s/dispatch-%d-%08x", id, time.Now().Unix(), s.serial))
	child.Name, child.ParentID, child.Dispatched, child.Payload, child.Meta = child.ID, new(id), true, in.Payload, in.Meta
	child.DispatchIdempotencyToken = &token
	s.admit(&child)
	return api.JobDispatchResponse{DispatchedJobID: *child.ID}, nil
}

func (s *Server) listJobs(*http.Request) (any, error) {
	all := []api.JobListStub{}
	for id, j := range s.jobs {
		all = append(all, api.JobListStub{
			ID: id, Name: id, Type: "batch", Priority: 50, Status: s.status(id), Stop: j.Stop != nil && *j.Stop, Meta: j.Meta,
			ParameterizedJob: j.ParameterizedJob != nil && !j.Dispatched, SubmitTime: *j.SubmitTime,
		})
	}
	return all, nil
}

func (s *Server) job(r *http.Request) (any, error) {
	id := r.PathValue("job")
	if job, ok := strings.CutSuffix(id, "/allocations"); ok {
		return s.stubs(job), nil
	}
	if job, ok := strings.CutSuffix(id, "/evaluations"); ok {
		all := []*api.Evaluation{}
		for _, e := range s.evals {
			if e.JobID == job {
				all = append(all, e)
			}
		}
		return all, nil
	}
	j := s.jobs[id]
	if j == nil {
		return nil, notFound("job")
	}
	copied := *j
	copied.Status = new(s.status(id))
	return copied, nil
}

func (s *Server) deregister(r *http.Request) (any, error) {
	id := r.PathValue("job")
	if s.jobs[id] == nil {
		return api.JobDeregisterResponse{}, nil
	}
	s.next()
	s.stop(id)
	if r.URL.Query().Get("purge") == "true" {
		s.purge(id)
	}
	s.placeAll()
	return api.JobDeregisterResponse{}, nil
}

// stubs lists the allocations of a job, or all.
func (s *Server) stubs(job string) []*api.AllocationListStub {
	all := []*api.AllocationListStub{}
	for _, id := range s.order {
		if r := s.allocs[id]; job == "" && !over(r.ClientStatus) && r.ClientStatus != api.AllocClientStatusLost || r.JobID == job {
			all = append(all, r.Stub())
		}
	}
	slices.SortFunc(all, func(a, b *api.AllocationListStub) int { return cmp.Compare(b.CreateIndex, a.CreateIndex) })
	return all
}

func (s *Server) drain(r *http.Request) (any, error) {
	n := s.named(r.PathValue("node"))
	var in api.NodeUpdateDrainRequest
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || n == nil {
		return nil, notFound("node")
	}
	n.Drain = in.DrainSpec != nil
	n.SchedulingEligibility = api.NodeSchedulingIneligible
	if in.MarkEligible {
		n.SchedulingEligibility = api.NodeSchedulingEligible
	}
	s.nodeChanged(n)
	s.placeAll()
	return api.NodeDrainUpdateResponse{}, nil
}

func (s *Server) signal(r *http.Request) (any, error) {
	a := s.allocs[r.PathValue("alloc")]
	var in struct{ Signal string }
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil || a == nil || over(a.ClientStatus) {
		return nil, httpError{500, "task is not running"}
	}
	a.cancel()
	if in.Signal == "SIGKILL" {
		s.end(a, api.AllocClientStatusFailed, "killed", 9)
		s.placeAll()
	}
	return struct{}{}, nil
}

func (s *Server) logs(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	a := s.allocs[r.PathValue("alloc")]
	s.mu.Unlock()
	if a == nil || r.URL.Query().Get("type") != "stderr" {
		http.Error(w, "no such allocation", http.StatusNotFound)
		return
	}
	text := a.stderr.String()
	if n, err := strconv.Atoi(r.URL.Query().Get("offset")); err == nil && len(text) > n {
		text = text[len(text)-n:]
	}
	_, _ = w.Write([]byte(text))
}
