package bench

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rondo-ci/rondo/ci"
	"github.com/stretchr/testify/require"
)

// binaries builds the programs once, the way users run them.
var binaries = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "rondo-bench-")
	if err != nil {
		return "", err
	}
	out, err := exec.Command("go", "build", "-o", dir+"/", "../cmd/rondo-server", "../cmd/rondo").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return dir, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := binaries(); err == nil && dir != "" {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

func program(t testing.TB, name string, args ...string) *exec.Cmd {
	dir, err := binaries()
	require.NoError(t, err)
	return exec.Command(filepath.Join(dir, name), args...)
}

// newRepo makes a git repository with one commit.
func newRepo(t testing.TB, config string) string {
	dir := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(dir, ".circleci"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".circleci", "config.yml"), []byte(config), 0o644))
	for _, args := range [][]string{
		{"init", "-q", "-b", "main"}, {"add", "-A"},
		{"-c", "user.name=b", "-c", "user.email=b@localhost", "commit", "-q", "-m", "first"},
	} {
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
	}
	return dir
}

// rondo is a running server, built and started as users do.
type rondo struct {
	t     testing.TB
	cmd   *exec.Cmd
	url   string
	token string
	slug  string

	mu     sync.Mutex
	ended  map[ci.PipelineID]chan ci.Event
	output sync.Map // ci.PipelineID -> ci.JobID of the first job
}

func newRondo(t testing.TB, config string) *rondo {
	repo := newRepo(t, config)
	r := &rondo{t: t, ended: map[ci.PipelineID]chan ci.Event{}}
	r.cmd = program(t, "rondo-server", "dev", "--json", "--repo", repo, "--data", filepath.Join(t.TempDir(), "data"), "--listen", "127.0.0.1:0")
	r.cmd.Stderr = os.Stderr
	out, err := r.cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, r.cmd.Start())
	t.Cleanup(func() { _ = r.cmd.Process.Signal(os.Interrupt); _ = r.cmd.Wait() })
	lines := bufio.NewReaderSize(out, 1<<20)
	first, err := lines.ReadBytes('\n')
	require.NoError(t, err)
	var hello struct{ URL, Token string }
	require.NoError(t, json.Unmarshal(first, &hello))
	r.url, r.token = hello.URL, hello.Token
	started := make(chan struct{})
	go r.follow(lines, started)
	<-started
	return r
}

// follow reads the server's events. The pipeline for HEAD comes first and
// warms everything up.
func (r *rondo) follow(lines *bufio.Reader, started chan struct{}) {
	for first := true; ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var e ci.Event
		if !bytes.Contains(line, []byte(`"workflow.ended"`)) || json.Unmarshal(line, &e) != nil {
			continue
		}
		if first {
			first = false
			close(started)
		}
		r.end(e.Pipeline) <- e
	}
}

func (r *rondo) end(id ci.PipelineID) chan ci.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended[id] == nil {
		r.ended[id] = make(chan ci.Event, 1)
	}
	return r.ended[id]
}

func (r *rondo) do(method, path, body string) []byte {
	req, err := http.NewRequest(method, r.url+path, strings.NewReader(body))
	require.NoError(r.t, err)
	req.Header.Set("Circle-Token", r.token)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	require.NoError(r.t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(r.t, err)
	require.Less(r.t, res.StatusCode, 300, string(b))
	return b
}

// project finds the only project's slug.
func (r *rondo) project() string {
	if r.slug == "" {
		var page struct{ Items []struct{ Slug string } }
		require.NoError(r.t, json.Unmarshal(r.do("GET", "/api/v2/rondo/projects", ""), &page))
		r.slug = page.Items[0].Slug
	}
	return r.slug
}

// trigger starts a pipeline of main.
func (r *rondo) trigger() ci.PipelineID {
	var p struct{ ID ci.PipelineID }
	require.NoError(r.t, json.Unmarshal(r.do("POST", "/api/v2/project/"+r.project()+"/pipeline", `{"branch":"main"}`), &p))
	return p.ID
}

// wait returns when the pipeline's workflow has ended durably.
func (r *rondo) wait(id ci.PipelineID) {
	e := <-r.end(id)
	require.Equal(r.t, ci.Success, e.Status)
}

// trivial is one job with one step and no checkout.
const trivial = `
version: 2.1
jobs:
  hi:
    docker: [{image: cimg/base:stable}]
    steps: [{run: echo hi}]
workflows: {main: {jobs: [hi]}}
`

// BenchmarkTrivial is a trivial pipeline from trigger to the durable end.
func BenchmarkTrivial(b *testing.B) {
	b.Run("floor", func(b *testing.B) {
		f := newFloor(b, 4)
		for b.Loop() {
			f.wait(f.trigger(""))
		}
	})
	b.Run("rondo", func(b *testing.B) {
		r := newRondo(b, trivial)
		for b.Loop() {
			r.wait(r.trigger())
		}
	})
}

// BenchmarkHundred is 100 trivial pipelines at once.
func BenchmarkHundred(b *testing.B) {
	b.Run("floor", func(b *testing.B) {
		f := newFloor(b, 4)
		for b.Loop() {
			var ids []string
			for range 100 {
				ids = append(ids, f.trigger(""))
			}
			for _, id := range ids {
				f.wait(id)
			}
		}
	})
	b.Run("rondo", func(b *testing.B) {
		r := newRondo(b, trivial)
		for b.Loop() {
			var ids []ci.PipelineID
			for range 100 {
				ids = append(ids, r.trigger())
			}
			for _, id := range ids {
				r.wait(id)
			}
		}
	})
}
