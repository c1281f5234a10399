package nomad_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/rondo-ci/rondo/scheduler/nomad"
	"github.com/rondo-ci/rondo/scheduler/nomad/nomadtest"
	"github.com/rondo-ci/rondo/scheduler/nomad/pointer"
	"github.com/rondo-ci/rondo/scheduler/schedulertest"
	"github.com/rondo-ci/rondo/storage/memdb"
)

// agentEnv makes this test binary the agent that a real Nomad starts.
const agentEnv = "RONDO_NOMAD_TEST_AGENT"

func TestMain(m *testing.M) {
	if os.Getenv(agentEnv) != "" {
		os.Exit(agentMain())
	}
	code := m.Run()
	if real.stop != nil {
		real.stop()
	}
	os.Exit(code)
}

// agentMain asks the door of the test what it is to do, and does it.
func agentMain() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	p, err := pointer.Read()
	if err == nil {
		p, err = p.Await(ctx, nil)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		if errors.Is(err, ci.ErrConflict) || ctx.Err() != nil {
			return 0
		}
		return 2
	}
	reply, err := http.Get(p.Door + "/task/" + string(p.Task))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	defer reply.Body.Close()
	var full scheduler.Placement
	if err := json.NewDecoder(reply.Body).Decode(&full); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	fmt.Fprintf(os.Stderr, "agent has %s epoch %d\n", p.Task, p.Epoch)
	if err := schedulertest.Agent(ctx, full); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 3
	}
	if reply, err := http.Post(p.Door+"/done/"+string(p.Task), "", nil); err == nil {
		_ = reply.Body.Close()
	}
	return 0
}

// real is the one Nomad of all tests here.
var real struct {
	once    sync.Once
	address string
	err     error
	stop    func()
}

// realNomad starts a Nomad, if there is one on this machine.
func realNomad(t testing.TB) string {
	t.Helper()
	binary, ok := nomadtest.Binary()
	if !ok {
		t.Skip("no nomad on PATH and no NOMAD_BIN: only the fake was tried")
	}
	real.once.Do(func() { real.address, real.stop, real.err = nomadtest.StartReal(binary) })
	require.NoError(t, real.err)
	version, _ := exec.Command(binary, "version").Output()
	first, _, _ := strings.Cut(string(version), "\n")
	t.Logf("a real Nomad: %s, %s", first, real.address)
	return real.address
}

// onReal makes a cluster at the real Nomad, with this binary as its agent.
func onReal(t testing.TB, cfg nomad.Config) *world {
	address := realNomad(t)
	w := &world{placed: map[ci.TaskID]scheduler.Placement{}, began: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc(pointer.Path, w.serve)
	mux.HandleFunc("GET /task/{task}", func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		p := w.placed[ci.TaskID(r.PathValue("task"))]
		began := w.arrived
		w.mu.Unlock()
		if began != nil {
			began <- p.Task.ID
		}
		_ = json.NewEncoder(rw).Encode(p)
	})
	mux.HandleFunc("POST /done/{task}", func(_ http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		done := w.done
		w.mu.Unlock()
		if done != nil {
			done <- ci.TaskID(r.PathValue("task"))
		}
	})
	door := httptest.NewServer(mux)
	w.door = door.URL
	exe, err := os.Executable()
	require.NoError(t, err)
	cfg.Docs, cfg.Secret, cfg.Nodes.MHz = memdb.New(), make([]byte, 32), 1000
	cfg.Name = "test-" + string(ci.NewID())[:13]
	c, err := nomad.New(nomad.Server{Address: address}, nomad.Agent{Command: exe, Door: door.URL, Env: map[string]string{agentEnv: "1"}, DiskMB: 50}, cfg)
	require.NoError(t, err)
	w.Cluster = c
	stop := w.run(t)
	t.Cleanup(func() {
		for p := range c.Placements(context.Background()) {
			_ = c.Stop(context.Background(), p, 0)
		}
		stop()
		endJobs(t, address, cfg.Name)
		door.CloseClientConnections()
		door.Close()
	})
	return w
}

// endJobs ends what is left of an installation, its warm agents.
func endJobs(t testing.TB, address, owner string) {
	reply, err := http.Get(address + "/v1/jobs?meta=true")
	require.NoError(t, err)
	defer reply.Body.Close()
	var jobs []struct {
		ID   string
		Meta map[string]string
	}
	require.NoError(t, json.NewDecoder(reply.Body).Decode(&jobs))
	for _, j := range jobs {
		if j.Meta["rondo"] != owner && !strings.HasPrefix(j.ID, owner) {
			continue
		}
		req, err := http.NewRequest(http.MethodDelete, address+"/v1/job/"+strings.ReplaceAll(j.ID, "/", "%2F")+"?purge=true", nil)
		require.NoError(t, err)
		reply, err := http.DefaultClient.Do(req)
		require.NoError(t, err)
		_ = reply.Body.Close()
	}
}

func TestRealNomad(t *testing.T) {
	for name, cfg := range map[string]nomad.Config{
		"Register": {}, "Dispatch": {Dispatch: true},
		"Warm": {Warm: []nomad.Warm{{Resources: one, Count: 2}}},
	} {
		t.Run(name, func(t *testing.T) {
			realNomad(t)
			schedulertest.TestCluster(t, func(t *testing.T) scheduler.Cluster { return notMortal{onReal(t, cfg)} })
		})
	}
}

// notMortal hides that nodes can be killed.
type notMortal struct{ scheduler.Cluster }
