package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/machine"
	"github.com/rondo-ci/rondo/ci/agent/tool"
	"github.com/stretchr/testify/require"
)

// TestMain makes the test binary the program itself when it is started again,
// so the tests run real processes and need no build.
func TestMain(m *testing.M) {
	if how := os.Getenv("RONDO_TEST_MAIN"); how != "" || machine.Named(os.Args[0]) || tool.Named(os.Args[0]) {
		detour(how)
		main()
		return
	}
	dir, err := os.MkdirTemp("", "rondo-settings-") // where the key of stored secrets goes
	if err != nil {
		panic(err)
	}
	_ = os.Setenv("XDG_CONFIG_HOME", dir)
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// program returns the program with arguments, ready to start.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), "RONDO_TEST_MAIN=1")
	return cmd
}

// repo is a git repository for a test.
type repo struct {
	t   *testing.T
	dir string
}

func newRepo(t *testing.T, config string) repo {
	r := repo{t, serverDir(t)}
	r.git("init", "-q", "-b", "main")
	r.git("config", "user.name", "Test")
	r.git("config", "user.email", "test@localhost")
	r.commit("first", map[string]string{".circleci/config.yml": config})
	return r
}

func (r repo) git(args ...string) string {
	r.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = r.dir
	out, err := cmd.CombinedOutput()
	require.NoError(r.t, err, "git %v: %s", args, out)
	return strings.TrimSpace(string(out))
}

func (r repo) commit(message string, files map[string]string) string {
	r.t.Helper()
	for name, content := range files {
		path := filepath.Join(r.dir, name)
		require.NoError(r.t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(r.t, os.WriteFile(path, []byte(content), 0o755))
	}
	r.git("add", "-A")
	r.git("commit", "-q", "--allow-empty", "-m", message)
	return r.git("rev-parse", "HEAD")
}

// server is a running rondo-server that prints JSON.
type server struct {
	t          *testing.T
	cmd        *exec.Cmd
	URL, Token string
	Agents     string // of serve
	stderr     *os.File

	mu     sync.Mutex
	events []ci.Event
	more   chan struct{}
	ended  chan struct{}
}

// startServer starts dev on the repository and waits for its first line.
func startServer(t *testing.T, repo, data string, args ...string) *server {
	t.Helper()
	return start(t, program(t, append([]string{"dev", "--json", "--repo", repo, "--data", data, "--listen", "127.0.0.1:0"}, args...)...))
}

// start starts a server that prints JSON and waits for its first line.
func start(t *testing.T, cmd *exec.Cmd) *server {
	t.Helper()
	s := &server{t: t, cmd: cmd, more: make(chan struct{}), ended: make(chan struct{})}
	out, err := s.cmd.StdoutPipe()
	require.NoError(t, err)
	s.stderr, err = os.CreateTemp(serverDir(t), "stderr")
	require.NoError(t, err)
	s.cmd.Stderr = s.stderr
	require.NoError(t, s.cmd.Start())
	t.Cleanup(func() { s.kill() })
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 16<<20)
	require.True(t, lines.Scan(), "no first line; stderr: %s", s.errors())
	var first struct{ URL, Token, Agents string }
	require.NoError(t, json.Unmarshal(lines.Bytes(), &first))
	s.URL, s.Token, s.Agents = first.URL, first.Token, first.Agents
	go func() {
		defer close(s.ended)
		for lines.Scan() {
			var e ci.Event
			if json.Unmarshal(lines.Bytes(), &e) != nil {
				continue
			}
			s.mu.Lock()
			s.events = append(s.events, e)
			close(s.more)
			s.more = make(chan struct{})
			s.mu.Unlock()
		}
	}()
	return s
}

func (s *server) errors() string {
	b, _ := os.ReadFile(s.stderr.Name())
	return string(b)
}

// kill ends the server at once, as a crash would.
func (s *server) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// stop ends the server as Ctrl-C would and returns its exit code.
func (s *server) stop() int {
	s.t.Helper()
	require.NoError(s.t, s.cmd.Process.Signal(os.Interrupt))
	done := make(chan struct{})
	go func() { _ = s.cmd.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(60 * time.Second):
		_ = s.cmd.Process.Signal(syscall.SIGQUIT)
		s.t.Fatalf("server did not stop; stderr: %s", s.errors())
	}
	return s.cmd.ProcessState.ExitCode()
}

// wait returns the first event that is accepted, from all events so far on.
func (s *server) wait(what string, accept func(ci.Event) bool) ci.Event {
	s.t.Helper()
	timeout := time.After(90 * time.Second)
	seen := 0
	for {
		s.mu.Lock()
		events, more := s.events[seen:], s.more
		seen = len(s.events)
		s.mu.Unlock()
		for _, e := range events {
			if accept(e) {
				return e
			}
		}
		select {
		case <-more:
		case <-s.ended:
			s.t.Fatalf("server ended before %s; stderr: %s", what, s.errors())
		case <-timeout:
			s.t.Fatalf("no %s; events: %s; stderr: %s", what, s.trail(), s.errors())
		}
	}
}

func (s *server) trail() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var b strings.Builder
	for _, e := range s.events {
		fmt.Fprintf(&b, "\n  %d %s %s %s %s", e.Seq, e.Kind, e.Name, e.Status, e.Reason)
	}
	return b.String()
}

// ended waits for the end of a job or workflow (kind) of that name.
func (s *server) waitEnd(kind ci.EventKind, name string) ci.Event {
	s.t.Helper()
	return s.wait(fmt.Sprintf("%s of %s", kind, name), func(e ci.Event) bool {
		return e.Kind == kind && e.Name == name && e.Status.Ended()
	})
}

// get asks the API and returns status code and body.
func (s *server) call(method, path, body string) (int, string) {
	s.t.Helper()
	req, err := http.NewRequest(method, s.URL+path, strings.NewReader(body))
	require.NoError(s.t, err)
	req.Header.Set("Circle-Token", s.Token)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	require.NoError(s.t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	require.NoError(s.t, err)
	return res.StatusCode, string(b)
}

// pipeline is what the API says of one.
type pipeline struct {
	ID    string
	State string
	VCS   struct{ Branch, Revision string }
}

// pipelines lists all pipelines, newest first.
func (s *server) pipelines() []pipeline {
	s.t.Helper()
	var all []pipeline
	token := ""
	for {
		code, body := s.call("GET", "/api/v2/pipeline?page-token="+token, "")
		require.Equal(s.t, http.StatusOK, code, body)
		var page struct {
			Items []pipeline
			Next  string `json:"next_page_token"`
		}
		require.NoError(s.t, json.Unmarshal([]byte(body), &page))
		all = append(all, page.Items...)
		if token = page.Next; token == "" {
			return all
		}
	}
}

// workflowStatuses returns the statuses of the pipeline's workflows.
func (s *server) workflowStatuses(id string) []ci.Status {
	s.t.Helper()
	code, body := s.call("GET", "/api/v2/pipeline/"+id+"/workflow", "")
	require.Equal(s.t, http.StatusOK, code, body)
	var page struct{ Items []struct{ Status ci.Status } }
	require.NoError(s.t, json.Unmarshal([]byte(body), &page))
	var list []ci.Status
	for _, w := range page.Items {
		list = append(list, w.Status)
	}
	return list
}

// eventually waits until the condition holds.
func (s *server) eventually(what string, holds func() bool) {
	s.t.Helper()
	for end := time.Now().Add(90 * time.Second); !holds(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("not in time: %s; events: %s; stderr: %s", what, s.trail(), s.errors())
		}
	}
}

// job is what the API says of one.
type job struct {
	ID     string
	Name   string
	Status ci.Status
}

// jobs lists the jobs of the pipeline's workflows.
func (s *server) jobs(id string) []job {
	s.t.Helper()
	code, body := s.call("GET", "/api/v2/pipeline/"+id+"/workflow", "")
	require.Equal(s.t, http.StatusOK, code, body)
	var workflows struct{ Items []struct{ ID string } }
	require.NoError(s.t, json.Unmarshal([]byte(body), &workflows))
	var all []job
	for _, w := range workflows.Items {
		code, body := s.call("GET", "/api/v2/workflow/"+w.ID+"/job", "")
		require.Equal(s.t, http.StatusOK, code, body)
		var page struct{ Items []job }
		require.NoError(s.t, json.Unmarshal([]byte(body), &page))
		all = append(all, page.Items...)
	}
	return all
}

// steps lists the steps of one node of a job.
func (s *server) steps(job string, node int) []ci.Step {
	s.t.Helper()
	code, body := s.call("GET", "/api/v2/rondo/job/"+job+"/steps", "")
	require.Equal(s.t, http.StatusOK, code, body)
	var page struct {
		Items []struct{ Steps []ci.Step }
	}
	require.NoError(s.t, json.Unmarshal([]byte(body), &page))
	require.Greater(s.t, len(page.Items), node, body)
	return page.Items[node].Steps
}

// log returns the whole output of a step.
func (s *server) log(job string, node, step int) string {
	s.t.Helper()
	code, body := s.call("GET", fmt.Sprintf("/api/v2/rondo/log?task=%s.%d&step=%d", job, node, step), "")
	require.Equal(s.t, http.StatusOK, code, body)
	return body
}

// freeze stops a process, and returns when none of its threads runs any more:
// those that run meanwhile go on for a moment.
func freeze(t *testing.T, pid int) {
	t.Helper()
	require.NoError(t, syscall.Kill(pid, syscall.SIGSTOP))
	require.Eventually(t, func() bool {
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
		require.NoError(t, err)
		for _, file := range threads {
			text, err := os.ReadFile(file)
			if _, after, found := strings.Cut(string(text), ") "); err == nil && (!found || after[0] != 'T') {
				return false
			}
		}
		return len(threads) > 0
	}, 30*time.Second, time.Millisecond)
}

// serverDir is a temporary folder for what servers keep. Agents of a server that
// was killed may still write there for a moment when the test has ended.
func serverDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", strings.ReplaceAll(t.Name(), "/", "-"))
	require.NoError(t, err)
	t.Cleanup(func() {
		require.Eventually(t, func() bool { return os.RemoveAll(dir) == nil }, 20*time.Second, 10*time.Millisecond, dir)
	})
	return dir
}
