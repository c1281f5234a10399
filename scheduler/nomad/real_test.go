package nomad_test

import (
	"cmp"
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
	for _, r := range []*realOne{&reals.open, &reals.secure} {
		if r.nomad != nil {
			r.nomad.Stop()
		}
		_ = os.RemoveAll(r.dir) // "" is nothing
	}
	os.Exit(code)
}

// agentMain asks the door of the test what it is to do, and does it.
func agentMain() int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	p, err := pointer.Read()
	own := p.Identity
	if err == nil {
		p, err = p.Await(ctx, &http.Client{Transport: p.Over(nil)})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		if errors.Is(err, ci.ErrConflict) || ctx.Err() != nil {
			return 0
		}
		return 2
	}
	ask, err := http.NewRequestWithContext(ctx, http.MethodGet, p.Door+"/task/"+string(p.Task), nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	ask.Header.Set(pointer.Identity, own)
	reply, err := http.DefaultClient.Do(ask)
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

// A realOne is a Nomad that tests share.
type realOne struct {
	once  sync.Once
	nomad *nomadtest.Real
	dir   string // of its files
	err   error
}

// reals are one that lets everybody in, and a secured one.
var reals = struct{ open, secure realOne }{}

// start starts a Nomad once, if there is one on this machine.
func (r *realOne) start(t testing.TB, options func(dir string) (nomadtest.Options, error)) *nomadtest.Real {
	t.Helper()
	binary, ok := nomadtest.Binary()
	if !ok {
		t.Skip("no nomad on PATH and no NOMAD_BIN: only the fake was tried")
	}
	r.once.Do(func() {
		if r.dir, r.err = os.MkdirTemp("", "rondo-nomad-test-"); r.err != nil {
			return
		}
		var o nomadtest.Options
		if o, r.err = options(r.dir); r.err == nil {
			r.nomad, r.err = nomadtest.StartReal(binary, o)
		}
	})
	require.NoError(t, r.err)
	version, _ := exec.Command(binary, "version").Output()
	first, _, _ := strings.Cut(string(version), "\n")
	t.Logf("a real Nomad: %s, %s", first, r.nomad.Address)
	return r.nomad
}

// realNomad is one that lets everybody in.
func realNomad(t testing.TB) string {
	t.Helper()
	return reals.open.start(t, func(string) (nomadtest.Options, error) { return nomadtest.Options{}, nil }).Address
}

// onReal makes a cluster at the real Nomad, with this binary as its agent.
func onReal(t testing.TB, cfg nomad.Config) *world {
	address := realNomad(t)
	return onServer(t, reals.open.nomad, nomad.Server{Address: address}, cfg)
}

// onServer makes a cluster at a real Nomad, with this binary as its agent.
func onServer(t testing.TB, r *nomadtest.Real, s nomad.Server, cfg nomad.Config) *world {
	w := &world{placed: map[ci.TaskID]scheduler.Placement{}, began: map[string]int{}}
	door := httptest.NewServer(w.mux())
	w.door = door.URL
	exe, err := os.Executable()
	require.NoError(t, err)
	cfg.Docs, cfg.Secret, cfg.Nodes.MHz = memdb.New(), make([]byte, 32), 1000
	cfg.Name = "test-" + string(ci.NewID())[:13]
	c, err := nomad.New(s, nomad.Agent{Command: exe, Door: door.URL, Env: map[string]string{agentEnv: "1"}, DiskMB: 50}, cfg)
	require.NoError(t, err)
	w.Cluster = c
	stop := w.run(t)
	t.Cleanup(func() {
		for p := range c.Placements(context.Background()) {
			_ = c.Stop(context.Background(), p, 0)
		}
		stop()
		endJobs(t, r, s.Namespace, cfg.Name)
		door.CloseClientConnections()
		door.Close()
	})
	return w
}

// tell tells who listens, if anybody does.
func tell(c chan ci.TaskID, id ci.TaskID) {
	select {
	case c <- id:
	default:
	}
}

// mux is the door of real agents.
func (w *world) mux() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(pointer.Path, w.serve)
	mux.HandleFunc("GET /task/{task}", func(rw http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		p := w.placed[ci.TaskID(r.PathValue("task"))]
		began := w.arrived
		w.identity = r.Header.Get(pointer.Identity)
		w.mu.Unlock()
		tell(began, p.Task.ID)
		_ = json.NewEncoder(rw).Encode(p)
	})
	mux.HandleFunc("POST /done/{task}", func(_ http.ResponseWriter, r *http.Request) {
		w.mu.Lock()
		done := w.done
		w.mu.Unlock()
		tell(done, ci.TaskID(r.PathValue("task")))
	})
	return mux
}

// endJobs ends what is left of an installation, its warm agents.
func endJobs(t testing.TB, r *nomadtest.Real, namespace, owner string) {
	var jobs []struct {
		ID   string
		Meta map[string]string
	}
	require.NoError(t, r.Call(http.MethodGet, "/v1/jobs?meta=true&namespace="+cmp.Or(namespace, "default"), nil, &jobs))
	for _, j := range jobs {
		if j.Meta["rondo"] == owner || strings.HasPrefix(j.ID, owner) {
			path := "/v1/job/" + strings.ReplaceAll(j.ID, "/", "%2F") + "?purge=true&namespace=" + cmp.Or(namespace, "default")
			require.NoError(t, r.Call(http.MethodDelete, path, nil, nil))
		}
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

// A real Nomad signs who its agents are, and nobody else is admitted.
func TestA059_RealIdentities(t *testing.T) {
	for name, cfg := range map[string]nomad.Config{
		"Register": {}, "Dispatch": {Dispatch: true},
		"Warm": {Warm: []nomad.Warm{{Resources: one, Count: 1}}},
	} {
		t.Run(name, func(t *testing.T) {
			realNomad(t)
			cfg.Identity = nomad.IdentityRequire
			w := onReal(t, cfg)
			agent := func() (scheduler.Placement, string) {
				p := placement("waits")
				p.Node = ""
				require.NoError(t, w.Submit(t.Context(), p))
				sees(t, w, p, is(scheduler.PlacementRunning))
				<-w.arrived
				w.mu.Lock()
				defer w.mu.Unlock()
				return p, w.identity
			}
			w.listen(10)
			one, its := agent()
			two, other := agent()
			admit := func(p scheduler.Placement, identity string) error {
				return w.Admit(t.Context(), p.Task.ID, p.Epoch, identity)
			}
			require.NoError(t, admit(one, its))
			require.NoError(t, admit(two, other))
			for _, identity := range []string{"", its, its[:len(its)-8] + "AAAAAAAA"} {
				require.ErrorIs(t, admit(two, identity), ci.ErrDenied)
			}
		})
	}
}

// notMortal hides that nodes can be killed.
type notMortal struct{ scheduler.Cluster }
