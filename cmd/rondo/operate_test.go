package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/stretchr/testify/require"
)

// A stand is a server that says what the guide prints, and remembers what it is
// told. Commands find it by its data folder alone.
type stand struct {
	t    *testing.T
	data string
	mu   sync.Mutex
	told []string // "POST path body"
	left int
}

const guideJob = "5a4ea06b7d560d000116830f-0-build-GERey-realitycheck-1"

func newStand(t *testing.T) *stand { return newStandWith(t, func(*http.ServeMux) {}) }

// newStandWith returns a stand that says more.
func newStandWith(t *testing.T, more func(*http.ServeMux)) *stand {
	s := &stand{t: t, data: t.TempDir(), left: 250}
	at := time.Date(2018, 1, 4, 21, 45, 15, 0, time.UTC)
	running := ci.Trace{ID: guideJob, Allocation: "9f2b1c40-0000-8000-8000-000000000001", Task: ci.Task{Name: "build", Number: 1}, Epoch: 1, State: "running", Node: "ip-127-0-0-1", Placed: at}
	pending, dead := running, running
	pending.ID, pending.State, pending.Node, pending.Placed = "5a4ea0c9fa4f8c0001b6401b-0-build-GERey-realitycheck-2", "pending", "", time.Time{}
	dead.ID, dead.State = "5a4ea0cafa4f8c0001b6401c-0-build-GERey-realitycheck-3", "dead"
	stuck := ci.Explanation{
		Trace: pending, BuildURL: "https://ci.example/jobs/gh/GERey/realitycheck/2", Advice: "2 more nodes of 8 CPUs and 28672 MB, like node n1, would start all that waits.",
		Why:       ci.Reason{Code: "capacity", Text: "All 1 ready nodes are full.", Position: 3},
		Hops:      []ci.Hop{{Name: "usage-queue", Since: at, Until: at.Add(5 * time.Second), Seconds: 5}, {Name: "run-queue", Since: at.Add(5 * time.Second), Seconds: 90}},
		Diagnosis: &ci.Diagnosis{Code: "capacity_exhausted", Text: "All 1 ready nodes are full.", Fix: "Wait, or add nodes.", Evidence: []string{"ip-127-0-0-1: ready, 1 allocations"}},
	}
	host, _ := os.Hostname()
	nodes := []ci.Node{
		{ID: "ec2727c5-0000-8000-8000-000000000001", Datacenter: "us-east-1", Name: "ip-127-0-0-1", Class: "linux-64bit", State: "ready", Tasks: 0},
		{ID: "ab12cd34-0000-8000-8000-000000000002", Datacenter: "us-east-1", Name: host, Class: "linux-64bit", State: "draining", Drain: true, Tasks: 2, CPU: 8, UsedCPU: 4, MemoryMB: 1024, UsedMemoryMB: 512},
	}
	mux := http.NewServeMux()
	more(mux)
	reply := func(pattern string, v any) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(v) })
	}
	items := func(v any) map[string]any { return map[string]any{"items": v} }
	reply("GET /api/v2/rondo/placements", items([]ci.Trace{running, pending, dead}))
	reply("GET /api/v2/rondo/placements/{id}", stuck)
	reply("GET /api/v2/rondo/nodes", items(nodes))
	reply("GET /api/v2/rondo/queue/explain", items([]ci.Explanation{stuck}))
	reply("GET /api/v2/rondo/queue", queueView{Running: 1, Usage: ci.QueuePart{Name: "usage", Total: 5, First: []ci.QueuePlace{{Position: 1, BuildURL: "https://ci/1", Job: "build"}}, Last: []ci.QueuePlace{{Position: 5, BuildURL: "https://ci/5", Job: "build"}}}, Run: ci.QueuePart{Name: "run"}})
	reply("GET /api/v2/rondo/services", items([]ci.Service{{Role: "frontend", State: "up", Version: "v1", Up: 61, Ports: []string{"0.0.0.0:80/tcp"}, Here: "pages and API"}}))
	mux.HandleFunc("GET /api/v2/rondo/placements/{id}/output", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Allocation", running.Allocation)
		w.Header().Set("X-Job", guideJob)
		if r.FormValue("stderr") != "true" {
			w.WriteHeader(404)
			return
		}
		_, _ = io.WriteString(w, "agent says\x1b[2J hello\n")
	})
	mux.HandleFunc("POST /api/v2/rondo/", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.told = append(s.told, strings.TrimPrefix(r.URL.Path, "/api/v2/rondo")+" "+string(body))
		switch {
		case strings.HasSuffix(r.URL.Path, "/drain"):
			_ = json.NewEncoder(w).Encode(nodes[0])
		case strings.HasSuffix(r.URL.Path, "/cancel"):
			n := min(100, s.left)
			s.left -= n
			_ = json.NewEncoder(w).Encode(ci.QueueMove{Moved: n, Left: s.left})
		default:
			w.WriteHeader(409)
			_, _ = io.WriteString(w, `{"message":"promote 200 tasks: at most 100 at once is safe"}`)
		}
	})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Circle-Token") != "sesame" {
			w.WriteHeader(401)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	require.NoError(t, os.WriteFile(filepath.Join(s.data, "address"), []byte(srv.URL+"\n"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(s.data, "token"), []byte("sesame\n"), 0o600))
	return s
}

// rondo runs the program with nothing in its environment but the data folder.
func (s *stand) rondo(line string, env ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	exe, err := os.Executable()
	require.NoError(s.t, err)
	cmd := exec.Command(exe, strings.Fields(line)...)
	cmd.Dir = s.data
	cmd.Env = append([]string{"RONDO_TEST_MAIN=1", "HOME=" + s.data, "RONDO_DATA=" + s.data}, env...)
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	_ = cmd.Run()
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

func TestSCH05_StatusAsTheGuidePrintsIt(t *testing.T) {
	s := newStand(t)
	out, errs, code := s.rondo("nomad status")
	require.Equal(t, 0, code, errs)
	require.Equal(t, `ID                                                     Type   Priority  Status
5a4ea06b7d560d000116830f-0-build-GERey-realitycheck-1  batch  50        running
5a4ea0c9fa4f8c0001b6401b-0-build-GERey-realitycheck-2  batch  50        pending
5a4ea0cafa4f8c0001b6401c-0-build-GERey-realitycheck-3  batch  50        dead
`, out)
}

func TestSCH09_NodeStatusAsTheGuidePrintsIt(t *testing.T) {
	s := newStand(t)
	out, errs, code := s.rondo("nomad node-status -allocs")
	require.Equal(t, 0, code, errs)
	lines := strings.Split(out, "\n")
	require.Equal(t, "ID DC Name Class Drain Status Running Allocs", strings.Join(strings.Fields(lines[0]), " "))
	require.Equal(t, "ec2727c5 us-east-1 ip-127-0-0-1 linux-64bit false ready 0", strings.Join(strings.Fields(lines[1]), " "))
	require.Contains(t, lines[2], "true   ready   2", "a node that drains is ready")
	out, _, _ = s.rondo("nomad node-status")
	require.NotContains(t, out, "Running Allocs")
	out, errs, code = s.rondo("nomad node-status -self") // SCH-08
	require.Equal(t, 0, code, errs)
	require.Contains(t, out, "Running Allocs    = 2")
	require.Contains(t, out, "4/8  512 MiB/1024 MiB")
}

func TestSCH12_StatusOfAJobSaysWhereItIsStuck(t *testing.T) {
	s := newStand(t)
	out, errs, code := s.rondo("nomad status 5a4ea0c9")
	require.Equal(t, 0, code, errs)
	for _, want := range []string{"Status      = pending", "All 1 ready nodes are full.", "Position 3 in the queue.", "2 more nodes of 8 CPUs", "Diagnosis: capacity_exhausted", "No allocations placed"} {
		require.Contains(t, out, want)
	}
}

func TestSCH10_Logs(t *testing.T) {
	s := newStand(t)
	for _, line := range []string{"nomad logs -job -stderr " + guideJob, "nomad logs --stderr --job " + guideJob, "nomad logs -stderr " + guideJob + " -job"} {
		out, errs, code := s.rondo(line)
		require.Equal(t, 0, code, errs)
		require.Equal(t, "agent says[2J hello\n", out)
		require.Contains(t, errs, "allocation 9f2b1c40 of job "+guideJob, "which one it is")
	}
	_, errs, code := s.rondo("nomad logs 9f2b1c40")
	require.Equal(t, 1, code)
	require.Contains(t, errs, "add -stderr")
	_, errs, code = s.rondo("nomad logs -stderr " + guideJob)
	require.Equal(t, 2, code)
	require.Contains(t, errs, "-job -stderr")
}

func TestSCH14_NodeDrainForms(t *testing.T) {
	s := newStand(t)
	for line, want := range map[string]int{
		"nomad node-drain -enable -yes ec2727c5": 0, "nomad node-drain -disable ec2727c5": 0, "nomad node-drain -self -enable": 0,
		"nomad node-drain ec2727c5 -enable -yes -deadline 6h": 0, "node drain ip-127-0-0-1 --yes": 0, "node ready ip-127-0-0-1": 0,
		"nomad node-drain -enable ec2727c5": 2, "nomad node-drain ec2727c5": 2, "nomad node-drain -enable -disable x": 2,
		"nomad node-drain -enable": 2, "nomad node-drain -enable -yes nosuch": 1, "nomad node-drain -x": 2, "node drain": 2,
	} {
		_, errs, code := s.rondo(line)
		require.Equal(t, want, code, "%s: %s", line, errs)
	}
	require.Len(t, s.told, 6)
	all := strings.Join(s.told, "\n")
	require.Contains(t, all, `/nodes/ec2727c5-0000-8000-8000-000000000001/drain {"deadline":"6h0m0s","on":true}`)
	require.Contains(t, all, `/nodes/ab12cd34-0000-8000-8000-000000000002/drain {"on":true}`, "SCH-13")
}

func TestSCH04_NoFlagsNeeded(t *testing.T) {
	s := newStand(t)
	for _, line := range []string{"nomad status", "nomad node-status", "nomad node-status -json", "node status", "queue list", "queue explain 2 --json", "services ps", "nomad status -json"} {
		out, errs, code := s.rondo(line)
		require.Equal(t, 0, code, "%s: %s", line, errs)
		if strings.Contains(line, "json") {
			require.True(t, json.Valid([]byte(out)), line)
		}
	}
	_, errs, code := s.rondo("nomad status", "RONDO_TOKEN=wrong")
	require.Equal(t, 1, code)
	require.Contains(t, errs, "set RONDO_TOKEN")
	_, errs, code = s.rondo("nomad status", "RONDO_DATA="+t.TempDir())
	require.Equal(t, 1, code)
	require.Contains(t, errs, "set RONDO_URL and RONDO_TOKEN")
	_, errs, _ = s.rondo("nomad status", "RONDO_URL=http://127.0.0.1:1")
	require.Contains(t, errs, "no server answers at http://127.0.0.1:1 (from RONDO_URL)")
	file := filepath.Join(t.TempDir(), "cli.yml")
	address, _ := os.ReadFile(filepath.Join(s.data, "address"))
	require.NoError(t, os.WriteFile(file, []byte("url: "+string(address)+"token: sesame\n"), 0o600))
	_, errs, code = s.rondo("nomad status", "RONDO_DATA="+t.TempDir(), "RONDO_CONFIG="+file)
	require.Equal(t, 0, code, errs)
	out, _, code := s.rondo("nomad logs -help")
	require.Equal(t, 0, code)
	require.Contains(t, out, "The server is found, in this order")
}

func TestQUE06_ExplainOnATerminal(t *testing.T) {
	s := newStand(t)
	out, errs, code := s.rondo("queue explain 2")
	require.Equal(t, 0, code, errs)
	require.Contains(t, out, "capacity: All 1 ready nodes are full.\nPosition 3 in the queue.\n2 more nodes of 8 CPUs")
	require.Contains(t, out, "usage-queue  2018-01-04T21:45:15Z  5s\nrun-queue    2018-01-04T21:45:20Z  1m30s, so far\n")
	out, _, _ = s.rondo("queue list") // QUE-02
	require.Contains(t, out, "usage queue: 5\n  1  https://ci/1  build\n  ... 3 more\n  5  https://ci/5  build\nrun queue: 0\n")
}

func TestQUE05_CancelAllInBatches(t *testing.T) {
	s := newStand(t)
	out, errs, code := s.rondo("queue cancel --all --yes")
	require.Equal(t, 0, code, errs)
	require.Equal(t, "batch 1: 100 canceled, 150 left\nbatch 2: 100 canceled, 50 left\nbatch 3: 50 canceled, 0 left\n", out)
	_, errs, code = s.rondo("queue promote -n 200") // QUE-03
	require.Equal(t, 4, code)
	require.Contains(t, errs, "at most 100 at once is safe")
	_, _, code = s.rondo("queue cancel")
	require.Equal(t, 2, code, "nobody to ask")
}

func TestTRB06_ServicesPs(t *testing.T) {
	out, errs, code := newStand(t).rondo("services ps")
	require.Equal(t, 0, code, errs)
	require.Contains(t, out, "frontend  up      v1       1m1s  [0.0.0.0:80/tcp]  pages and API")
}
