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
	settings, err := os.MkdirTemp("", "rondo-settings-") // where the key of stored secrets goes
	if err != nil {
		panic(err)
	}
	_ = os.Setenv("XDG_CONFIG_HOME", settings)
	code := m.Run()
	_ = os.RemoveAll(settings)
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

	mu      sync.Mutex
	ended   map[ci.PipelineID]chan ci.Event
	started map[ci.PipelineID]chan ci.Event // first run step
}

func newRondo(t testing.TB, config string) *rondo {
	return newRondoAt(t, newRepo(t, config), filepath.Join(t.TempDir(), "data"))
}

// newRondoAt starts a server for a repository and waits until the pipeline for
// HEAD has ended, if it is the first start.
func newRondoAt(t testing.TB, repo, data string) *rondo {
	_, err := os.Stat(data)
	again := err == nil
	r := &rondo{t: t, ended: map[ci.PipelineID]chan ci.Event{}, started: map[ci.PipelineID]chan ci.Event{}}
	r.cmd = program(t, "rondo-server", "dev", "--json", "--repo", repo, "--data", data, "--listen", "127.0.0.1:0")
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
	if !again {
		<-started
	}
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
		end, begin := bytes.Contains(line, []byte(`"workflow.ended"`)), bytes.Contains(line, []byte(`"step.started"`))
		var e ci.Event
		if !end && !begin || json.Unmarshal(line, &e) != nil {
			continue
		}
		if begin {
			if e.Step.Kind == ci.StepRun {
				r.channel(r.started, e.Pipeline) <- e
			}
			continue
		}
		if first {
			first = false
			close(started)
		}
		r.channel(r.ended, e.Pipeline) <- e
	}
}

// channel returns the pipeline's channel in one of the maps.
func (r *rondo) channel(of map[ci.PipelineID]chan ci.Event, id ci.PipelineID) chan ci.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	if of[id] == nil {
		of[id] = make(chan ci.Event, 1)
	}
	return of[id]
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
	e := <-r.channel(r.ended, id)
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

// watch opens the live output of the pipeline's first run step.
func (r *rondo) watch(id ci.PipelineID) (*bufio.Scanner, func()) {
	e := <-r.channel(r.started, id)
	req, err := http.NewRequest("GET", fmt.Sprintf("%s/api/v2/rondo/log?task=%s.0&step=%d", r.url, e.Job, e.Step.Index), nil)
	require.NoError(r.t, err)
	req.Header.Set("Circle-Token", r.token)
	req.Header.Set("Accept", "text/event-stream")
	res, err := http.DefaultClient.Do(req)
	require.NoError(r.t, err)
	require.Equal(r.t, http.StatusOK, res.StatusCode)
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 4<<20)
	return lines, func() { _ = res.Body.Close() }
}

// BenchmarkFirstLine is the time from trigger to the first output at a watcher.
func BenchmarkFirstLine(b *testing.B) {
	const slow = `echo hi; sleep 0.05`
	b.Run("floor", func(b *testing.B) {
		f := newFloor(b, 4)
		for b.Loop() {
			id := f.trigger(slow)
			f.firstLine(id)
			b.StopTimer()
			f.wait(id)
			b.StartTimer()
		}
	})
	b.Run("rondo", func(b *testing.B) {
		r := newRondo(b, strings.Replace(trivial, "echo hi", `"`+slow+`"`, 1))
		for b.Loop() {
			id := r.trigger()
			lines, done := r.watch(id)
			for lines.Scan() && !strings.HasPrefix(lines.Text(), "data:") {
			}
			b.StopTimer()
			done()
			r.wait(id)
			b.StartTimer()
		}
	})
}

// BenchmarkLines is a step that prints 200,000 lines, with a live watcher that
// gets every one.
func BenchmarkLines(b *testing.B) {
	const n, script = 200_000, "seq 200000"
	b.Run("floor", func(b *testing.B) {
		f := newFloor(b, 4)
		for b.Loop() {
			id := f.trigger(script)
			require.Equal(b, n, f.lines(id))
			f.wait(id)
		}
		b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "lines/s")
	})
	b.Run("rondo", func(b *testing.B) {
		r := newRondo(b, strings.Replace(trivial, "echo hi", script, 1))
		for b.Loop() {
			id := r.trigger()
			lines, done := r.watch(id)
			got := 0
			for lines.Scan() {
				if data, ok := strings.CutPrefix(lines.Text(), `data: "`); ok {
					var text string
					require.NoError(b, json.Unmarshal([]byte(`"`+data), &text))
					got += strings.Count(text, "\n")
				}
			}
			done()
			require.Equal(b, n, got)
			r.wait(id)
		}
		b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "lines/s")
	})
}

// BenchmarkTrigger is a trigger answered durably, beside one synced
// transaction.
func BenchmarkTrigger(b *testing.B) {
	b.Run("transaction", func(b *testing.B) {
		f := newFloor(b, 1)
		for i := 0; b.Loop(); i++ {
			_, err := f.db.Exec(`INSERT INTO runs VALUES (?, 'queued')`, fmt.Sprint("t", i))
			require.NoError(b, err)
		}
	})
	b.Run("rondo", func(b *testing.B) {
		r := newRondo(b, trivial)
		for b.Loop() {
			id := r.trigger()
			b.StopTimer()
			r.wait(id)
			b.StartTimer()
		}
	})
}

// BenchmarkStart is the time until a server on an existing data folder is
// ready, and what it holds in memory then.
func BenchmarkStart(b *testing.B) {
	repo, data := newRepo(b, trivial), filepath.Join(b.TempDir(), "data")
	for b.Loop() {
		cmd := program(b, "rondo-server", "dev", "--json", "--repo", repo, "--data", data, "--listen", "127.0.0.1:0")
		out, err := cmd.StdoutPipe()
		require.NoError(b, err)
		require.NoError(b, cmd.Start())
		_, err = bufio.NewReader(out).ReadBytes('\n')
		require.NoError(b, err)
		b.StopTimer()
		b.ReportMetric(resident(b, cmd.Process.Pid), "MB")
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
		b.StartTimer()
	}
}

// resident returns the resident memory of a process in MB.
func resident(b *testing.B, pid int) float64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(b, err)
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	var kb float64
	_, err = fmt.Sscan(rest, &kb)
	require.NoError(b, err)
	return kb / 1024
}

// BenchmarkRun is rondo run of one trivial job, as a whole process.
func BenchmarkRun(b *testing.B) {
	repo := newRepo(b, trivial)
	for b.Loop() {
		cmd := program(b, "rondo", "run")
		cmd.Dir = repo
		out, err := cmd.CombinedOutput()
		require.NoError(b, err, string(out))
	}
}
