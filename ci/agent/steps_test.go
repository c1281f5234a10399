package agent_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/agent/agenttest"
)

func save(key string, paths ...string) ci.StepSpec {
	return ci.StepSpec{Kind: ci.StepSaveCache, Keys: []string{key}, Paths: paths}
}

func restore(keys ...string) ci.StepSpec {
	return ci.StepSpec{Kind: ci.StepRestoreCache, Keys: keys}
}

// ok runs the steps as one job and wants success; it returns the task.
func ok(t *testing.T, s *agenttest.Server, steps ...ci.StepSpec) ci.TaskID {
	t.Helper()
	w := agenttest.Work(steps...)
	r := run(t, s, w)
	require.Equal(t, ci.Success, r.Status, r.Reason)
	return w.Lease.Task
}

func TestARC05_CacheRoundTrip(t *testing.T) {
	t.Parallel()
	s := new(agenttest.Server)
	outside := filepath.Join(t.TempDir(), "abs")
	id := ok(t, s,
		agenttest.Run(`mkdir -p deps/sub ~/.cache `+outside+`; echo 1 > deps/sub/a; chmod 751 deps/sub/a; ln -s sub/a deps/l; ln -s /nowhere deps/dangling
			mkfifo deps/pipe; echo 2 > ~/.cache/b; echo 3 > `+outside+`/c; echo sum > go.sum; touch -d 2020-01-02 deps/sub/a`),
		save(`v1-{{ checksum "go.sum" }}-{{ .Branch }}-{{ arch }}`, "deps", "~/.cache", outside, "missing", "/home/circleci/.cache"),
		save(`v1-{{ checksum "go.sum" }}-{{ .Branch }}-{{ arch }}`, "deps"),
	)
	require.Contains(t, s.Output(id, 2), "left out ~/project/deps/pipe: is a named pipe")
	require.Contains(t, s.Output(id, 2), "skipping this path: missing")
	require.Contains(t, s.Output(id, 3), "Skipping cache generation")
	require.Len(t, s.Files(ci.FileCache), 1)
	require.NoError(t, os.RemoveAll(outside))

	id = ok(t, s,
		restore("v2-none", "v1-"),
		agenttest.Run(`cat deps/l ~/.cache/b `+outside+`/c; stat -c %a deps/sub/a; readlink deps/dangling; date -r deps/sub/a +%F`),
	)
	require.Contains(t, s.Output(id, 1), "No cache is found for key: v2-none\nFound a cache at v1-")
	require.Contains(t, s.Output(id, 1), "newest with the prefix v1-")
	require.Equal(t, "1\n2\n3\n751\n/nowhere\n2020-01-02\n", s.Output(id, 2))
}

// TestCacheChoice is the worked example of the specification: the newest of
// those with the prefix, even if another one matches exactly.
func TestCacheChoice(t *testing.T) {
	t.Parallel()
	s := new(agenttest.Server)
	for _, key := range []string{"v1-app", "v1-app-a", "v1-app-b-2"} {
		ok(t, s, agenttest.Run("echo "+key+" > f"), save(key, "f"))
	}
	for keys, want := range map[string]string{"v1-app": "v1-app-b-2", "v1-app-a v1-": "v1-app-a", "v2-": ""} {
		id := ok(t, s, restore(strings.Fields(keys)...), agenttest.Run("cat f || true"))
		require.Contains(t, s.Output(id, 2), want)
		if want == "" {
			require.Contains(t, s.Output(id, 1), "No cache is found for key: v2-")
		}
	}
}

func TestP9_DamagedCacheIsAMiss(t *testing.T) {
	t.Parallel()
	s := new(agenttest.Server)
	ok(t, s, agenttest.Run("echo 1 > f"), save("k", "f"))
	s.Damage(ci.FileCache, "k")
	id := ok(t, s, restore("k"), agenttest.Run("test ! -e f"))
	require.Contains(t, s.Output(id, 1), "The cache is ignored.")
}

func TestCacheKeyErrors(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		`{{ checksum "f" }}`:               `error computing cache key: template: cacheKey:1:3: executing "cacheKey" at <checksum "f">: error calling checksum: open f: no such file or directory`,
		`{{ nonsense }}`:                   `function "nonsense" not defined`,
		`{{ checksum "/proc/self/stat" }}`: "belongs to the kernel",
	} {
		s := new(agenttest.Server)
		w := agenttest.Work(restore(key))
		r := run(t, s, w)
		require.Equal(t, ci.Failed, r.Status)
		require.Contains(t, s.Output(w.Lease.Task, 1), want)
	}
}

// follow returns work that stands behind the given tasks.
func follow(steps []ci.StepSpec, up ...ci.Upstream) ci.Work {
	w := agenttest.Work(steps...)
	w.Upstream = up
	return w
}

// layer runs a job that persists to the workspace, behind others.
func layer(t *testing.T, s *agenttest.Server, job, command string, after []ci.Upstream) ci.Upstream {
	t.Helper()
	w := follow([]ci.StepSpec{
		agenttest.Run("mkdir -p w; cd w; " + command),
		{Kind: ci.StepPersist, Path: "w", Paths: []string{"*"}},
	}, after...)
	w.Job.Name = job
	r := run(t, s, w)
	require.Equal(t, ci.Success, r.Status, r.Reason)
	up := ci.Upstream{Task: w.Lease.Task, Epoch: 1, Job: job}
	for _, a := range after {
		up.After = append(up.After, a.Job)
	}
	return up
}

func TestWorkspace(t *testing.T) {
	t.Parallel()
	s := new(agenttest.Server)
	a := layer(t, s, "a", `echo a > f; mkdir -p d; echo a > d/a; echo '#!/bin/sh
echo run' > x; chmod +x x; ln -s d/a l`, nil)
	b := layer(t, s, "b", "echo b > f; mkdir -p d; echo b > d/b", []ci.Upstream{a})
	w := follow([]ci.StepSpec{
		{Kind: ci.StepAttach, Path: "/home/circleci/at"}, {Kind: ci.StepAttach, Path: "~/at"},
		agenttest.Run("cd ~/at; cat f d/a d/b l; ./x; find . -type f | sort | xargs"),
	}, a, b)
	r := run(t, s, w)
	require.Equal(t, ci.Success, r.Status, r.Reason)
	require.Equal(t, "b\na\nb\na\nrun\n./d/a ./d/b ./f ./x\n", s.Output(w.Lease.Task, 3))

	c := layer(t, s, "c", "echo c > f; mkdir -p d; echo c > d/c", []ci.Upstream{a})
	w = follow([]ci.StepSpec{{Kind: ci.StepAttach, Path: "."}}, a, b, c)
	r = run(t, s, w)
	require.Equal(t, ci.Failed, r.Status)
	require.Contains(t, r.Reason, "Concurrent upstream jobs persisted the same file(s):\nf (jobs \"b\" and \"c\")")

	// A file here is a directory there.
	e := layer(t, s, "e", "mkdir f; echo e > f/x", []ci.Upstream{a})
	for _, order := range [][]ci.Upstream{{a, c, e}, {a, e, c}} {
		w = follow([]ci.StepSpec{{Kind: ci.StepAttach, Path: "."}}, order...)
		require.Contains(t, run(t, s, w).Reason, "Concurrent upstream jobs persisted the same file(s):\nf (jobs ")
	}

	// Two nodes of one job that persist the same file, and a fan-in.
	c.Job = "b"
	w = follow([]ci.StepSpec{{Kind: ci.StepAttach, Path: "."}}, a, b, c)
	require.Equal(t, ci.Failed, run(t, s, w).Status)
	c.Job = "c"
	d := layer(t, s, "d", "echo d > other", []ci.Upstream{a, c})
	w = follow([]ci.StepSpec{{Kind: ci.StepAttach, Path: "."}, agenttest.Run("cat f other")}, a, c, d)
	require.Equal(t, ci.Success, run(t, s, w).Status)
	require.Equal(t, "c\nd\n", s.Output(w.Lease.Task, 2))
}

func TestPersistNeedsAMatchAndStaysBelowItsRoot(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{"none*": "did not match any files", "../x": "leads out", "/etc/passwd": "leads out"} {
		s := new(agenttest.Server)
		w := agenttest.Work(agenttest.Run("touch ../x"), ci.StepSpec{Kind: ci.StepPersist, Path: ".", Paths: []string{path}})
		r := run(t, s, w)
		require.Equal(t, ci.Failed, r.Status)
		require.Contains(t, r.Reason, want)
	}
	s := new(agenttest.Server)
	ok(t, s, agenttest.Run("mkdir a; touch a/f '[x]'"), ci.StepSpec{Kind: ci.StepPersist, Path: "", Paths: []string{"."}},
		ci.StepSpec{Kind: ci.StepPersist, Path: ".", Paths: []string{"a", "./a/", "[x]"}})
	require.Equal(t, "0 1", s.Files(ci.FileWorkspace)[0].Name+" "+s.Files(ci.FileWorkspace)[1].Name)
}

func TestEmptyWorkspace(t *testing.T) {
	t.Parallel()
	s := new(agenttest.Server)
	id := ok(t, s, ci.StepSpec{Kind: ci.StepAttach, Path: "."})
	require.Contains(t, s.Output(id, 1), "workspace is empty")
}

func TestArtifacts(t *testing.T) {
	t.Parallel()
	s := new(agenttest.Server)
	w := agenttest.Work(
		agenttest.Run(`mkdir -p out/sub; echo 1 > out/a; echo 2 > out/sub/b; ln -s sub/b out/l; ln -s /etc/hostname out/esc; mkfifo out/p; echo 3 > one; exit 1`),
		ci.StepSpec{Kind: ci.StepArtifacts, Path: "out"},
		ci.StepSpec{Kind: ci.StepArtifacts, Path: "~/project/one"},
		ci.StepSpec{Kind: ci.StepArtifacts, Path: "one", Destination: "../../etc/x.txt"},
		ci.StepSpec{Kind: ci.StepArtifacts, Path: "out/sub", Destination: "deep/er"},
		ci.StepSpec{Kind: ci.StepArtifacts, Path: "missing"},
		ci.StepSpec{Kind: ci.StepArtifacts, Path: "/proc/self/environ"},
	)
	r := run(t, s, w)
	require.Equal(t, ci.Failed, r.Status)
	require.Contains(t, r.Reason, "exited with code 1")
	var names []string
	for _, f := range s.Files(ci.FileArtifact) {
		names = append(names, f.Name)
	}
	require.ElementsMatch(t, []string{"out/a", "out/sub/b", "out/l", "one", "etc/x.txt", "deep/er/b"}, names)
	b, _ := s.Content(ci.FileArtifact, "out/l")
	require.Equal(t, "2\n", string(b))
	require.Contains(t, s.Output(w.Lease.Task, 6), "No artifacts: ~/project/missing: no such file or directory")
	require.Contains(t, s.Output(w.Lease.Task, 7), "belongs to the kernel")
}

func TestTestResults(t *testing.T) {
	t.Parallel()
	s := new(agenttest.Server)
	w := agenttest.Work(
		agenttest.Run(`mkdir -p r/rspec; echo '<testsuites><testsuite><testcase name="a" classname="C" file="f.rb" time="1.5"/></testsuite></testsuites>' > r/rspec/x.xml
			echo '<oops' > r/bad.xml; echo '<testsuite><testcase name="b"><skipped/></testcase></testsuite>' > y.xml`),
		ci.StepSpec{Kind: ci.StepTestResults, Path: "r"},
		ci.StepSpec{Kind: ci.StepTestResults, Path: "y.xml"},
		ci.StepSpec{Kind: ci.StepTestResults, Path: "missing"},
	)
	require.Equal(t, ci.Success, run(t, s, w).Status)
	require.Equal(t, []ci.Test{
		{Name: "a", Classname: "C", File: "f.rb", Source: "rspec", Result: "success", Seconds: 1.5},
		{Name: "b", Source: "project", Result: "skipped"},
	}, s.Tests(w.Lease.Task))
	require.Contains(t, s.Output(w.Lease.Task, 2), "skipped ~/project/r/bad.xml")
	require.Contains(t, s.Output(w.Lease.Task, 4), "No test results")
}

func TestSplitInAJob(t *testing.T) {
	t.Parallel()
	s := new(agenttest.Server)
	s.SetTimings([]ci.Test{{File: "t/a", Seconds: 10}, {File: "t/b", Seconds: 1}, {File: "t/c", Seconds: 2}})
	var all string
	for i := range 2 {
		w := agenttest.Work(agenttest.Run(`mkdir t; touch t/a t/b t/c; circleci tests glob "t/**" | circleci tests split --split-by=timings | xargs`))
		w.Task.Total = 2
		w.Task = w.Task.Slice(i)
		w.Lease.Task = w.Task.ID
		require.Equal(t, ci.Success, run(t, s, w).Status)
		all += fmt.Sprintf("%d: %s", i, s.Output(w.Lease.Task, 1))
	}
	require.Equal(t, "0: t/a\n1: t/b t/c\n", all)
}

func TestSSHKeys(t *testing.T) {
	t.Parallel()
	s := new(agenttest.Server)
	w := agenttest.Work(
		ci.StepSpec{Kind: ci.StepSSHKeys, Fingerprints: []string{"aa:bb", "SHA256:two"}},
		agenttest.Run(`cd ~/.ssh; ls | xargs; stat -c %a id_rondo_SHA256_two .; ssh -G example.com 2>/dev/null | grep -c identityfile; ssh -G other 2>/dev/null | grep -ci "identityfile.*two"; echo "$GIT_SSH_COMMAND" | grep -c "ssh -F"`),
		ci.StepSpec{Kind: ci.StepSSHKeys, Fingerprints: []string{"SHA256:nope"}},
	)
	w.SSHKeys = []ci.SSHKey{
		{Fingerprint: "SHA256:one", MD5: "AA:BB", Host: "example.com", Private: "-----BEGIN X-----\nprivate-line-one\n-----END X-----"},
		{Fingerprint: "SHA256:two", Private: "second"}, {Fingerprint: "SHA256:three", Private: "third"},
	}
	r := run(t, s, w)
	require.Contains(t, r.Reason, "no SSH key with the fingerprint SHA256:nope")
	require.Equal(t, "config id_rondo_SHA256_one id_rondo_SHA256_two\n600\n700\n2\n1\n1\n", s.Output(w.Lease.Task, 2))
}
