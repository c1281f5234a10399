package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/config"
	"github.com/stretchr/testify/require"
)

// never keeps a job out of every branch: it is compiled and does not run.
const never = "workflows: {w: {jobs: [a: {filters: {branches: {only: never}}}]}}\n"

// verdicts are configurations besides the mistakes of ci/config's testdata.
var verdicts = map[string]string{
	"good":      "version: 2.1\njobs: {a: {docker: [{image: 'x:1'}], steps: [checkout]}}\n" + never,
	"warnings":  "version: 2.1\njobs:\n  a:\n    docker: [{image: 'x:latest'}]\n    environment: {V: 3.10}\n    steps: [checkout]\n" + never,
	"orb":       "version: 2.1\norbs: {o: acme/o@1}\njobs: {a: {docker: [{image: 'x:1'}], steps: [o/hi]}}\n" + never,
	"no orb":    "version: 2.1\norbs: {o: acme/p@1}\njobs: {a: {docker: [{image: 'x:1'}], steps: [o/hi]}}\n" + never,
	"no member": "version: 2.1\norbs: {o: acme/o@1.2}\njobs: {a: {docker: [{image: 'x:1'}], steps: [o/hj]}}\n" + never,
	"in orb":    "version: 2.1\norbs: {o: acme/o@1}\njobs: {a: {docker: [{image: 'x:1'}], steps: [o/broken]}}\n" + never,
	"legacy":    "version: 2\njobs: {a: {docker: [{image: 'x:1'}], steps: [checkout], when: x}}\nworkflows: {version: 2, w: {jobs: [a: {filters: {branches: {only: never}}}]}}\n",
	"setup":     "version: 2.1\nsetup: true\njobs: {a: {docker: [{image: 'x:1'}], steps: [checkout]}}\n" + never,
	"branch":    "version: 2.1\njobs: {a: {docker: [{image: 'x:1'}], steps: [checkout]}}\nworkflows: {w: {unless: {equal: [\"\", << pipeline.git.branch >>]}, jobs: [b]}}\n",
}

const verdictOrb = "commands:\n  hi: {steps: [run: echo hi]}\n  broken: {steps: [run: echo << parameters.x >>]}\n"

// TestVerdicts: the command line and the server say the same of every
// configuration: valid or not, and the same codes, places, words and warnings.
// Both are the real programs.
func TestVerdicts(t *testing.T) {
	verdicts := maps.Clone(verdicts)
	mistakes, err := filepath.Glob("../../ci/config/testdata/mistakes/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, mistakes)
	for _, f := range mistakes {
		archive, err := txtar.ParseFile(f)
		require.NoError(t, err)
		verdicts[filepath.Base(f)] = string(archive.Files[0].Data)
	}
	orbs := serverDir(t)
	require.NoError(t, os.WriteFile(filepath.Join(orbs, "acme__o@1.2.3.yml"), []byte(verdictOrb), 0o644))
	r := newRepo(t, verdicts["good"])
	s := startServer(t, r.dir, filepath.Join(serverDir(t), "data"), "--orbs", orbs)

	names := map[string]string{} // branch -> configuration
	var stream bytes.Buffer
	for name, source := range verdicts {
		branch := fmt.Sprintf("b%d", len(names))
		names[branch] = name
		fmt.Fprintf(&stream, "commit refs/heads/%s\ncommitter T <t@localhost> 1700000000 +0000\ndata 1\nx\nM 100644 inline .circleci/config.yml\ndata %d\n%s\n",
			branch, len(source), source)
	}
	fast := exec.Command("git", "-C", r.dir, "fast-import", "--quiet")
	fast.Stdin = &stream
	out, err := fast.CombinedOutput()
	require.NoError(t, err, "%s", out)

	tool := filepath.Join(serverDir(t), "rondo")
	out, err = exec.Command("go", "build", "-o", tool, "../rondo").CombinedOutput()
	require.NoError(t, err, "%s", out)
	codes := map[string]bool{}
	for branch, name := range names {
		e := s.wait("pipeline of "+name, func(e ci.Event) bool {
			return e.Name == branch && (e.Kind == ci.PipelineErrored || e.Kind == ci.PipelinePlanned)
		})
		code, body := s.call("GET", "/api/v2/pipeline/"+string(e.Pipeline), "")
		require.Equal(t, http.StatusOK, code, body)
		var server struct {
			Errors   []struct{ Message string }
			Warnings []string
		}
		require.NoError(t, json.Unmarshal([]byte(body), &server))
		problems := []string{}
		for _, e := range server.Errors {
			problems = append(problems, e.Message)
		}
		verdict := validate(t, tool, verdicts[name], "--orbs", orbs, "--branch", branch)
		require.Equal(t, e.Kind == ci.PipelinePlanned, verdict.Valid, name)
		require.Equal(t, sentences(verdict.Errors), problems, name)
		if verdict.Valid {
			require.Equal(t, sentences(verdict.Warnings), append([]string{}, server.Warnings...), name)
		}
		for _, e := range append(verdict.Errors, verdict.Warnings...) {
			codes[e.Code] = true
		}
	}

	// An orb that is added while the server runs is there for the next commit.
	require.NoError(t, os.WriteFile(filepath.Join(orbs, "acme__p@1.0.0.yml"), []byte(verdictOrb), 0o644))
	r.git("checkout", "-q", "-b", "late")
	r.commit("late", map[string]string{".circleci/config.yml": verdicts["no orb"]})
	s.wait("late pipeline", func(e ci.Event) bool { return e.Name == "late" && e.Kind == ci.PipelinePlanned })
	t.Logf("%d configurations, %d codes", len(names), len(codes))
	require.Greater(t, len(codes), 25)
	require.Equal(t, 0, s.stop(), s.errors())
}

// verdict is what rondo config validate --json prints.
type verdict struct {
	Valid            bool
	Errors, Warnings []*config.Error
}

// validate runs the program on a configuration.
func validate(t *testing.T, tool, source string, args ...string) verdict {
	t.Helper()
	dir := serverDir(t)
	require.NoError(t, os.Mkdir(filepath.Join(dir, ".circleci"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".circleci", "config.yml"), []byte(source), 0o644))
	cmd := exec.Command(tool, append([]string{"config", "validate", "--json"}, args...)...)
	cmd.Dir = dir
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	var v verdict
	require.NoError(t, json.Unmarshal(out, &v), "%s%s", out, stderr.String())
	require.Empty(t, stderr.String())
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		require.Equal(t, 2, exit.ExitCode())
	}
	require.Equal(t, v.Valid, err == nil)
	return v
}

// sentences are the problems as the server stores them.
func sentences(problems []*config.Error) []string {
	out := []string{}
	for _, p := range problems {
		out = append(out, p.Error())
	}
	return out
}
