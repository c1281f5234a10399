package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/stretchr/testify/require"
)

// faulty skips a test that is too long for every run, unless faults are asked
// for. Tests of faults have a short form, TestP..., and a long one, TestFault_P....
func faulty(t *testing.T) {
	if os.Getenv("RONDO_FAULTS") != "1" {
		t.Skip("a long one: make faults")
	}
}

// short is said by the short form of a test that has a long one.
func short(t *testing.T) {
	if os.Getenv("RONDO_FAULTS") == "1" {
		t.Skip("its long form runs: TestFault")
	}
	t.Parallel() // they wait most of the time
}

// needsTool skips the test where a program is not installed; not in CI, which
// installs it.
func needsTool(t *testing.T, name string) {
	t.Helper()
	_, err := exec.LookPath(name)
	if err != nil && os.Getenv("CI") != "true" {
		t.Skip("needs", name)
	}
	require.NoError(t, err)
}

// detour makes agents that the server starts take another way to it than it
// told them, so that a test can cut it. How is "1", or words like
// door=http://127.0.0.1:1 and netns=name.
func detour(how string) {
	if len(os.Args) < 2 || os.Args[1] != "agent" {
		return
	}
	for _, word := range strings.Split(how, ",") {
		key, value, _ := strings.Cut(word, "=")
		switch key {
		case "door":
			os.Args[slices.Index(os.Args, "--door")+1] = value
		case "netns":
			_ = os.Setenv("RONDO_TEST_MAIN", strings.ReplaceAll(how, word, "1"))
			ip, err := exec.LookPath("ip")
			if err == nil {
				err = syscall.Exec(ip, append([]string{"ip", "netns", "exec", value}, os.Args...), os.Environ())
			}
			panic(err)
		}
	}
}

// A site is an installation that a test treats badly. Its addresses stay the
// same from one start to the next.
type site struct {
	t              *testing.T
	dir, data      string
	listen, agents string   // addresses
	wrap           []string // what starts the server: strace and its arguments
	detour         string   // of its agents
	more           string   // further settings
	slug           string   // of its one project
	token          string
	s              *server
}

// newSite returns a site that is not started yet, with the folder to build.
func newSite(t *testing.T, folder string) *site {
	dir := serverDir(t)
	return &site{
		t: t, dir: dir, data: filepath.Join(dir, "data"), listen: freePort(t), agents: freePort(t), detour: "1",
		more: "folders: [" + folder + "]\n",
	}
}

// command returns what starts the server.
func (i *site) command() *exec.Cmd {
	i.t.Helper()
	file := filepath.Join(i.dir, "rondo.yml")
	text := fmt.Sprintf("url: http://ci.example.com\nlisten: %s\nagents: %s\ndata: %s\n%s", i.listen, i.agents, i.data, i.more)
	require.NoError(i.t, os.WriteFile(file, []byte(text), 0o600))
	cmd := program(i.t, "serve", "--json", "--config", file)
	cmd.Env = append(cmd.Env, "RONDO_TEST_MAIN="+i.detour)
	if len(i.wrap) > 0 {
		path, err := exec.LookPath(i.wrap[0])
		require.NoError(i.t, err)
		cmd.Path, cmd.Args = path, append(slices.Clone(i.wrap), cmd.Args...)
	}
	return cmd
}

// start starts the server and waits until it serves.
func (i *site) start() *server {
	i.t.Helper()
	i.s = start(i.t, i.command())
	token, err := os.ReadFile(filepath.Join(i.data, "token"))
	require.NoError(i.t, err)
	i.token = strings.TrimSpace(string(token))
	i.s.Token = i.token
	if i.slug == "" {
		var projects struct{ Items []struct{ Slug string } }
		i.s.eventually("the project is there", func() bool {
			code, body := i.s.call("GET", "/api/v2/rondo/projects", "")
			require.Equal(i.t, http.StatusOK, code, body)
			require.NoError(i.t, json.Unmarshal([]byte(body), &projects))
			return len(projects.Items) == 1
		})
		i.slug = projects.Items[0].Slug
	}
	return i.s
}

// trigger asks for a pipeline and returns its ID and the status of the answer,
// 0 for none.
func (i *site) trigger() (id string, status int) {
	req, err := http.NewRequest("POST", "http://"+i.listen+"/api/v2/project/"+i.slug+"/pipeline", strings.NewReader(`{"branch": "main"}`))
	require.NoError(i.t, err)
	req.Header.Set("Circle-Token", i.token)
	req.Header.Set("Content-Type", "application/json")
	client := http.Client{Timeout: 30 * time.Second}
	res, err := client.Do(req)
	if err != nil {
		return "", 0
	}
	defer res.Body.Close()
	var p struct{ ID string }
	if json.NewDecoder(res.Body).Decode(&p) != nil {
		return "", 0
	}
	return p.ID, res.StatusCode
}

// run triggers a pipeline that has to be accepted and waits for the start of
// its first task.
func (i *site) run() (id string, first job) {
	i.t.Helper()
	id, status := i.trigger()
	require.Equal(i.t, http.StatusCreated, status)
	i.s.eventually("the job runs", func() bool {
		for _, first = range i.s.jobs(id) {
			if first.Status == ci.Running || first.Status.Ended() {
				return true
			}
		}
		return false
	})
	return id, first
}

// end waits until all workflows of the pipelines have ended.
func (i *site) end(ids ...string) {
	i.t.Helper()
	for _, id := range ids {
		i.s.eventually("pipeline "+id+" ends", func() bool {
			statuses := i.s.workflowStatuses(id)
			return len(statuses) > 0 && !slices.ContainsFunc(statuses, func(s ci.Status) bool { return !s.Ended() })
		})
	}
}

// agentProcesses returns the agents that the server has started. (It starts
// git too.)
func (s *server) agentProcesses() []int {
	return slices.DeleteFunc(children(s.cmd.Process.Pid), func(pid int) bool {
		line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		return err != nil || !strings.Contains(string(line), "\x00agent\x00")
	})
}

// agent returns the agent that has started a process of its own, 0 for none.
func (i *site) agent() int {
	for _, pid := range i.s.agentProcesses() {
		if len(children(pid)) > 0 {
			return pid
		}
	}
	return 0
}

// reason returns why the job ended as it did.
func (i *site) reason(job string) string {
	i.t.Helper()
	i.s.mu.Lock()
	defer i.s.mu.Unlock()
	for _, e := range slices.Backward(i.s.events) {
		if string(e.Job) == job && e.Reason != "" {
			return e.Reason
		}
	}
	return ""
}

// finish proves that nothing is wrong with what is stored, and that the server
// ends in order.
func (i *site) finish() {
	i.t.Helper()
	code, found := i.s.call("GET", "/api/v2/rondo/fsck", "")
	require.Equal(i.t, http.StatusOK, code, found)
	require.Equal(i.t, "{\"findings\":0}\n", found)
	require.Equal(i.t, 0, i.s.stop(), i.s.errors())
}
