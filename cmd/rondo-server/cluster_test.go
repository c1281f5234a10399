package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage/sqldb"
	"github.com/rondo-ci/rondo/storage/sqldb/sqldbtest"
)

// twins are two servers of one installation.
type twins struct {
	t       *testing.T
	cluster *sqldbtest.Cluster
	dsn     string
	dir     string
	files   [2]string // of settings
	at      [2]string // advertised
	servers [2]*server
	token   string
	slug    string
}

// newTwins starts both, with folders to build.
func newTwins(t *testing.T, folders ...string) *twins {
	t.Helper()
	c, err := sqldbtest.Start()
	if errors.Is(err, ci.ErrNotFound) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Stop() })
	w := &twins{t: t, cluster: c, dir: serverDir(t)}
	w.dsn, err = c.Create(t.Context(), "rondo")
	require.NoError(t, err)
	for name, text := range map[string]string{"key": "the key of the cluster", "pass": "a passphrase", "dsn": w.dsn} {
		require.NoError(t, os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600))
	}
	for i := range w.servers {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		w.at[i] = "http://" + l.Addr().String()
		require.NoError(t, l.Close())
		w.files[i] = filepath.Join(w.dir, fmt.Sprint("rondo", i, ".yml"))
		require.NoError(t, os.WriteFile(w.files[i], fmt.Appendf(nil, `
url: http://ci.example.com
listen: 127.0.0.1:0
agents: 127.0.0.1:0
data: %[1]s/data%[2]d
database: file:%[1]s/dsn
folders: [%[3]s]
secrets: {passphrase: "file:%[1]s/pass"}
cluster: {advertise: "%[4]s", key: "file:%[1]s/key", shared: "%[1]s/shared"}
`, w.dir, i, strings.Join(folders, ", "), w.at[i]), 0o600))
		w.start(i)
		if i == 0 {
			w.conductor() // the first one
		}
	}
	return w
}

func (w *twins) start(i int) {
	w.servers[i] = start(w.t, program(w.t, "serve", "--json", "--config", w.files[i]))
	w.servers[i].Token = w.token
}

// conductor waits for one and returns its number.
func (w *twins) conductor() int {
	w.t.Helper()
	db, err := sqldb.Open(w.t.Context(), w.dsn, sqldb.Config{})
	require.NoError(w.t, err)
	defer db.Close()
	conducts := -1
	require.Eventually(w.t, func() bool {
		now, err := db.Term(w.t.Context())
		require.NoError(w.t, err)
		conducts = slices.Index(w.at[:], now.Address)
		return now.Left > 0 && conducts >= 0
	}, 60*time.Second, 20*time.Millisecond)
	if w.token == "" {
		require.Eventually(w.t, func() bool {
			text, err := os.ReadFile(filepath.Join(w.dir, "shared", "token"))
			w.token = strings.TrimSpace(string(text))
			return err == nil && w.token != ""
		}, 30*time.Second, 20*time.Millisecond)
		w.servers[conducts].Token = w.token
	}
	return conducts
}

// trigger asks a server for a pipeline. "" is that it was not accepted, or
// nobody knows.
func (w *twins) trigger(i int) string {
	req, err := http.NewRequest("POST", w.servers[i].URL+"/api/v2/project/"+w.slug+"/pipeline", strings.NewReader(`{"branch": "main"}`))
	require.NoError(w.t, err)
	req.Header.Set("Circle-Token", w.token)
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusCreated {
		require.True(w.t, err != nil || res.StatusCode >= 500, "%d %s", res.StatusCode, text)
		return ""
	}
	var p struct{ ID string }
	require.NoError(w.t, json.Unmarshal(text, &p))
	return p.ID
}

// project waits for the one project. It asks the server that follows.
func (w *twins) project() {
	w.t.Helper()
	var projects struct{ Items []struct{ Slug string } }
	s := w.servers[1-w.conductor()]
	s.Token = w.token
	s.eventually("the project is there", func() bool {
		code, body := s.call("GET", "/api/v2/rondo/projects", "")
		require.Equal(w.t, http.StatusOK, code, body)
		require.NoError(w.t, json.Unmarshal([]byte(body), &projects))
		return len(projects.Items) == 1
	})
	w.slug = projects.Items[0].Slug
}

// work is a project whose tasks note what they do.
func work(t *testing.T, marks string) repo {
	return newRepo(t, fmt.Sprintf(`
version: 2.1
jobs:
  work:
    docker: [{image: x}]
    resource_class: small
    parallelism: 2
    steps:
      - run:
          name: Work
          command: |
            echo "$CIRCLE_WORKFLOW_JOB_ID.$CIRCLE_NODE_INDEX" >> %[1]s/began
            for i in 1 2 3 4 5 6 7 8 9 10; do echo "line $i"; sleep 0.02; done
            echo "$CIRCLE_WORKFLOW_JOB_ID.$CIRCLE_NODE_INDEX" >> %[1]s/ended
workflows: {main: {jobs: [work]}}
`, marks))
}

// Both servers serve; the one that conducts is killed, or paused until the
// other has taken over. Every pipeline that was accepted ends, and no task runs
// its steps twice.
func TestDAT03_KillTheConductor(t *testing.T) { killConductors(t, 2) }

func TestFault_DAT03_KillTheConductor(t *testing.T) {
	if os.Getenv("RONDO_FAULTS") != "1" {
		t.Skip("a long one: make faults")
	}
	killConductors(t, 10)
}

func killConductors(t *testing.T, times int) {
	marks := serverDir(t)
	w := newTwins(t, work(t, marks).dir)
	w.project()
	var accepted []string
	load := func() {
		for i := range 4 {
			if id := w.trigger(i % 2); id != "" {
				accepted = append(accepted, id)
			}
		}
	}
	for kill := range times {
		load()
		old := w.conductor()
		switch kill % 3 {
		case 0: // it stays away
			w.servers[old].kill()
		case 1: // it is paused, and goes on when another one conducts
			freeze(t, w.servers[old].cmd.Process.Pid)
		case 2: // it is started again at once
			w.servers[old].kill()
			w.start(old)
		}
		began := time.Now()
		require.Eventually(t, func() bool {
			id := w.trigger(1 - old)
			if id != "" {
				accepted = append(accepted, id)
			}
			return id != ""
		}, 60*time.Second, 100*time.Millisecond)
		t.Logf("accepted again after %s", time.Since(began).Round(10*time.Millisecond))
		switch kill % 3 {
		case 0:
			require.Equal(t, 1-old, w.conductor())
			w.start(old)
		case 1:
			require.Equal(t, 1-old, w.conductor())
			require.NoError(t, w.servers[old].cmd.Process.Signal(syscall.SIGCONT))
			<-w.servers[old].ended // it notices
			_ = w.servers[old].cmd.Wait()
			require.Contains(t, w.servers[old].errors(), "another one has taken over")
			w.start(old)
		}
		load()
	}
	w.settle(accepted, marks)
}

// settle waits until all that was accepted has ended, and compares it with what
// the tasks noted.
func (w *twins) settle(accepted []string, marks string) {
	t := w.t
	require.NotEmpty(t, accepted)
	s := w.servers[1-w.conductor()]
	var all []pipeline
	s.eventually("every accepted pipeline ends", func() bool {
		all = all[:0]
		for _, id := range accepted {
			statuses := s.workflowStatuses(id)
			if len(statuses) == 0 || slices.ContainsFunc(statuses, func(s ci.Status) bool { return !s.Ended() }) {
				return false
			}
			all = append(all, pipeline{ID: id})
		}
		return true
	})
	checkRuns(t, s, all, marks)
	lost, good := 0, 0
	for _, p := range all {
		for _, j := range s.jobs(p.ID) {
			if j.Status == ci.Success {
				good++
			} else {
				lost++
			}
		}
	}
	t.Logf("%d pipelines accepted, %d jobs succeeded, %d were lost with their server", len(all), good, lost)
	require.Greater(t, good, len(all)/2)
}

// Postgres crashes under two servers and their load.
func TestFault_P17_ServersOutliveTheDatabase(t *testing.T) {
	if os.Getenv("RONDO_FAULTS") != "1" {
		t.Skip("a long one: make faults")
	}
	outliveDatabase(t, 5, 3*time.Second)
}

func TestP17_ServersOutliveTheDatabase(t *testing.T) { outliveDatabase(t, 1, time.Second) }

func outliveDatabase(t *testing.T, times int, every time.Duration) {
	marks := serverDir(t)
	w := newTwins(t, work(t, marks).dir)
	w.project()
	var accepted []string
	for range times {
		for end := time.Now().Add(every); time.Now().Before(end); time.Sleep(200 * time.Millisecond) {
			if id := w.trigger(len(accepted) % 2); id != "" {
				accepted = append(accepted, id)
			}
		}
		require.NoError(t, w.cluster.Restart())
	}
	require.Eventually(t, func() bool {
		id := w.trigger(0)
		if id != "" {
			accepted = append(accepted, id)
		}
		return id != ""
	}, 60*time.Second, 100*time.Millisecond)
	w.settle(accepted, marks)
}

// A second server on one Postgres that was not told of the first is refused,
// and one that is started again after a crash need not wait.
func TestP2b_SecondServerOnOnePostgres(t *testing.T) {
	c, err := sqldbtest.Start()
	if errors.Is(err, ci.ErrNotFound) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Stop() })
	dsn, err := c.Create(t.Context(), "rondo")
	require.NoError(t, err)
	t.Setenv("RONDO_TEST_DATABASE", dsn)
	dir := serverDir(t)
	settings := func(data string) string {
		file := filepath.Join(dir, data+".yml")
		require.NoError(t, os.WriteFile(file, fmt.Appendf(nil,
			"url: http://ci.example.com\nlisten: 127.0.0.1:0\nagents: 127.0.0.1:0\ndata: %s/%s\ndatabase: env:RONDO_TEST_DATABASE\n", dir, data), 0o600))
		return file
	}
	one := settings("one")
	s := start(t, program(t, "serve", "--json", "--config", one))
	out, err := program(t, "serve", "--config", settings("two")).CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "stop the other server")
	out, err = program(t, "migrate", "--config", settings("two"), "--to", "1").CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "servers use it")
	s.kill()
	s = start(t, program(t, "serve", "--json", "--config", one))
	require.Equal(t, 0, s.stop(), s.errors())
	for _, step := range []struct{ arg, says string }{
		{"--status", "is of edition 2"}, {"--to=1", "was of edition 2 and is of edition 1"}, {"--status", "is of edition 1"},
	} {
		out, err = program(t, "migrate", "--config", one, step.arg).CombinedOutput()
		require.NoError(t, err, "%s", out)
		require.Contains(t, string(out), step.says)
	}
	s = start(t, program(t, "serve", "--json", "--config", one)) // goes up by itself
	require.Equal(t, 0, s.stop(), s.errors())
}
