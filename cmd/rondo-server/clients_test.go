package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/nomad/api"
	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
)

// rondo runs a command of operators on the machine of the server, with nothing
// but its data folder, and returns what it prints.
func rondo(t *testing.T, data, line string) string {
	t.Helper()
	out, err := rondoCommand(t, data, line).CombinedOutput()
	require.NoError(t, err, "%s: %s", line, out)
	return string(out)
}

func rondoCommand(t *testing.T, data, line string) *exec.Cmd {
	t.Helper()
	program, err := rondoProgram()
	require.NoError(t, err)
	cmd := exec.Command(program, strings.Fields(line)...)
	cmd.Dir, cmd.Env = data, []string{"HOME=" + data, "RONDO_DATA=" + data, "PATH=" + os.Getenv("PATH")}
	return cmd
}

// traces lists the cluster's jobs in a state.
func (s *server) traces(state string) []ci.Trace {
	s.t.Helper()
	code, text := s.call("GET", "/api/v2/rondo/placements?status="+state, "")
	require.Equal(s.t, 200, code, text)
	var all struct{ Items []ci.Trace }
	require.NoError(s.t, json.Unmarshal([]byte(text), &all))
	return all.Items
}

// onClients starts a server whose agents run on the clients of a fake Nomad,
// and builds the configuration.
func onClients(t *testing.T, address, config string, more ...string) (s *server, data string) {
	t.Helper()
	door := freeAddress(t)
	s, file := teamAt(t, door, fmt.Sprintf("folders: [%s]\nnomad:\n  address: %s\n  door: http://%s\n%s", newRepo(t, config).dir, address, door, strings.Join(more, "")))
	data = filepath.Join(filepath.Dir(file), "data")
	token, err := os.ReadFile(filepath.Join(data, "token"))
	require.NoError(t, err)
	s.Token = strings.TrimSpace(string(token))
	return s, data
}

// One Services and three clients: twelve jobs run at once on all three, and
// every result arrives at the Services.
func TestARC01_ServicesAndThreeClients(t *testing.T) {
	t.Parallel()
	fake, address := fakeNomad(t)
	fake.SetNode("n1", "down")
	for _, name := range []string{"c1", "c2", "c3"} {
		fake.AddNode(name, 2+4, 4096+16384, nil)
	}
	meeting := serverDir(t)
	s, _ := onClients(t, address, fmt.Sprintf(`
version: 2.1
jobs:
  one:
    machine: true
    resource_class: small
    parallelism: 12
    steps:
      - run: touch %[1]s/$CIRCLE_NODE_INDEX; while [ $(ls %[1]s | wc -l) -lt 12 ]; do sleep 0.05; done; echo "result $CIRCLE_NODE_INDEX"
workflows: {main: {jobs: [one]}}
`, meeting))
	require.Equal(t, ci.Success, s.waitEnd(ci.WorkflowEnded, "main").Status, s.errors())
	perNode := map[string]int{}
	for _, p := range s.traces("dead") {
		perNode[p.Node]++
		require.Equal(t, "success", p.Reason)
	}
	require.Equal(t, map[string]int{"c1": 4, "c2": 4, "c3": 4}, perNode)
	job := s.jobs(s.pipelines()[0].ID)[0]
	for i := range 12 {
		steps := s.steps(job.ID, i)
		require.Equal(t, "result "+strconv.Itoa(i)+"\n", s.log(job.ID, i, steps[len(steps)-1].Index))
	}
}

// A client has no state: it is torn down between two jobs with all that is on
// it, another one comes, and the next job runs there with what the first left in
// the cache and the workspace.
func TestARC11_ClientsAreStateless(t *testing.T) {
	t.Parallel()
	fake, address := fakeNomad(t)
	s, _ := onClients(t, address, `
version: 2.1
jobs:
  first:
    machine: true
    resource_class: small
    steps:
      - run: mkdir out; echo kept > out/f
      - save_cache: {key: k1, paths: [out]}
      - persist_to_workspace: {root: out, paths: [f]}
  second:
    machine: true
    resource_class: small
    steps:
      - restore_cache: {key: k1}
      - attach_workspace: {at: w}
      - run: grep kept out/f && grep kept w/f
workflows: {main: {jobs: [first, {wait: {type: approval, requires: [first]}}, {second: {requires: [wait]}}]}}
`)
	s.waitEnd(ci.JobEnded, "first")
	fake.SetNode("n1", "down")
	require.NoError(t, os.RemoveAll(filepath.Join(fake.dir, "n1")))
	fake.AddNode("n2", 2+2, 4096+8192, nil)
	held := s.wait("approval", func(e ci.Event) bool { return e.Kind == ci.JobHeld })
	code, text := s.call("POST", fmt.Sprintf("/api/v2/workflow/%s/approve/%s", held.Workflow, held.Job), "")
	require.Less(t, code, 300, text)
	require.Equal(t, ci.Success, s.waitEnd(ci.WorkflowEnded, "main").Status, s.errors())
	nodes := map[string]string{}
	for _, p := range s.traces("dead") {
		nodes[p.Task.Name] = p.Node
	}
	require.Equal(t, map[string]string{"first": "n1", "second": "n2"}, nodes)
}

// The guide's path, by a script that knows only what our own commands print:
// status, status JOB, logs -stderr ALLOC.
func TestSCH11_FromStatusToTheLog(t *testing.T) {
	t.Parallel()
	_, address := fakeNomad(t)
	gate := filepath.Join(serverDir(t), "gate")
	s, data := onClients(t, address, fmt.Sprintf(`
version: 2.1
jobs: {hold: {machine: true, resource_class: small, parallelism: 3, steps: [{run: "while [ ! -e %s ]; do sleep 0.05; done"}]}}
workflows: {main: {jobs: [hold]}}
`, gate))
	s.eventually("all run", func() bool { return len(s.traces("running")) == 3 })
	program, err := rondoProgram()
	require.NoError(t, err)
	script := exec.Command("bash", "-euo", "pipefail", "-c", `
for job in $("$0" nomad status | awk 'NR > 1 && $4 == "running" {print $1}'); do
	alloc=$("$0" nomad status "$job" | awk '/^Allocations/ {found = 1; next} found && $1 != "ID" {print $1; exit}')
	"$0" nomad logs -stderr "$alloc" | sed "s|^|$job |"
done`, program)
	script.Dir, script.Env = data, []string{"HOME=" + data, "RONDO_DATA=" + data, "PATH=" + os.Getenv("PATH")}
	out, err := script.CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, p := range s.traces("running") {
		require.Regexp(t, "(?m)^"+p.ID+" .*task="+string(p.Task.ID)+" lease=1$", string(out), "the log is that of this allocation")
	}
	require.Equal(t, 3, strings.Count(string(out), "msg=task "), "and of no other")
	require.NoError(t, os.WriteFile(gate, nil, 0o600))
	s.waitEnd(ci.WorkflowEnded, "main")
}

// A client takes itself out, and comes back: node-drain -self.
func TestSCH13_NodeDrainSelf(t *testing.T) {
	t.Parallel()
	_, data := team(t, "")
	require.Contains(t, rondo(t, data, "nomad node-drain -self -enable"), "drains. It has nothing: it is safe to terminate.")
	self := func() string {
		rows := strings.Split(strings.TrimSpace(rondo(t, data, "nomad node-status")), "\n")
		require.Len(t, rows, 2)
		return strings.Join(strings.Fields(rows[1])[4:], " ") // what stands below Drain and Status
	}
	require.Equal(t, "true ready", self(), "as soon as the command has returned")
	rondo(t, data, "nomad node-drain -self -disable")
	require.Equal(t, "false ready", self())
}

// Both queues are counted exactly while tasks arrive from all sides at once,
// their ends are in the order of arrival, and the figures say the same.
func TestQUE01_QUE04_CountsOfTheQueues(t *testing.T) {
	t.Parallel()
	fake, address := fakeNomad(t)
	fake.SetNode("n1", "down")
	s, data := onClients(t, address, `
version: 2.1
jobs: {wide: {machine: true, resource_class: small, parallelism: 5, steps: [{run: "true"}]}}
workflows: {main: {jobs: [wide]}}
`, "queue: {org_limit: 8}\n", "metrics: {interval: 1s}\n")
	s.wait("the first commit", func(e ci.Event) bool { return e.Kind == ci.JobQueued })
	slug, _, _ := s.only()
	const more = 9
	var asking sync.WaitGroup
	for range more {
		asking.Go(func() {
			code, text := s.call("POST", "/api/v2/project/"+slug+"/pipeline", `{"branch": "main"}`)
			if code != http.StatusCreated {
				t.Errorf("%d: %s", code, text)
			}
		})
	}
	asking.Wait()
	const all, run = (1 + more) * 5, 8
	var depth string
	s.eventually("all are queued", func() bool {
		depth = rondo(t, data, "queue list -n 3")
		return strings.Contains(depth, fmt.Sprintf("usage queue: %d\n", all-run)) && strings.Contains(depth, fmt.Sprintf("run queue: %d\n", run))
	})
	require.Contains(t, depth, "0 placed, 0 running")
	numbers := regexp.MustCompile(`(?m)^  (\d+)  \S+/(\d+)  wide$`).FindAllStringSubmatch(depth, -1)
	var places, jobs []int
	for _, n := range numbers {
		place, _ := strconv.Atoi(n[1])
		job, _ := strconv.Atoi(n[2])
		places, jobs = append(places, place), append(jobs, job)
	}
	require.Equal(t, []int{1, 2, 3, 40, 41, 42, 1, 2, 3, 6, 7, 8}, places)
	require.True(t, slices.IsSorted(jobs[:6]) && slices.IsSorted(jobs[6:]), "who came first is first: %v", jobs)
	s.eventually("the figure agrees (MET-04)", func() bool {
		code, text := s.call("GET", "/metrics", "")
		return code == http.StatusOK && strings.Contains(text, fmt.Sprintf("\ncircle_nomad_server_agent_jobs_pending %d\n", all)) &&
			strings.Contains(text, fmt.Sprintf("\nqueue_run %d\n", run))
	})
}

// What the guide reads off the list of nodes, each with a name of its own: no
// nodes, not ready, drained, full.
func TestTRB11_FourThingsAboutNodes(t *testing.T) {
	t.Parallel()
	fake, address := fakeNomad(t)
	gate := filepath.Join(serverDir(t), "gate")
	s, data := onClients(t, address, fmt.Sprintf(`
version: 2.1
jobs: {hold: {machine: true, resource_class: small, parallelism: 2, steps: [{run: "while [ ! -e %s ]; do sleep 0.05; done"}]}}
workflows: {main: {jobs: [hold]}}
`, gate), "  class: ours\n")
	job := s.wait("the job", func(e ci.Event) bool { return e.Kind == ci.JobQueued }).Job
	diagnosed := func(code string) {
		t.Helper()
		s.eventually(code, func() bool {
			out := ""
			for i := range 2 {
				out += rondo(t, data, fmt.Sprintf("queue explain %s.%d", job, i))
			}
			return strings.Contains(out, "Diagnosis: "+code+"\n")
		})
	}
	diagnosed("no_nodes")
	fake.AddNode("c1", 2+1, 4096+2048, func(n *api.NodeListStub) { n.NodeClass, n.Status = "ours", "down" })
	diagnosed("nodes_down")
	fake.AddNode("c2", 2+1, 4096+2048, func(n *api.NodeListStub) {
		n.NodeClass, n.Drain, n.SchedulingEligibility = "ours", true, api.NodeSchedulingIneligible
	})
	diagnosed("all_draining")
	rondo(t, data, "node ready c2")
	diagnosed("capacity_exhausted")
	require.Contains(t, rondo(t, data, "nomad node-status -allocs"), "ready   1")
	require.NoError(t, os.WriteFile(gate, nil, 0o600))
	require.Equal(t, ci.Success, s.waitEnd(ci.WorkflowEnded, "main").Status, s.errors())
}
