package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/rondo-ci/rondo/ci/config"
	"github.com/stretchr/testify/require"
)

// TestMain makes the test binary the program itself when it is started again,
// by a test or, under one of its names, by a script.
func TestMain(m *testing.M) {
	if os.Getenv("RONDO_TEST_MAIN") == "1" {
		main()
		return
	}
	testscript.Main(m, map[string]func(){"rondo": main, "circleci": main, "circleci-agent": main})
}

// rondo runs the program in a folder and returns what it printed and its code.
func rondo(t *testing.T, dir, stdin string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	exe, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(exe, args...)
	cmd.Dir, cmd.Stdin = dir, strings.NewReader(stdin)
	cmd.Env = append(os.Environ(), "RONDO_TEST_MAIN=1")
	var out, errs strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		require.NoError(t, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

const (
	goodConfig = `version: 2.1
parameters:
  deploy: {type: boolean, default: false}
orbs: {o: acme/o@1}
jobs:
  a: {docker: [{image: "x:1"}], steps: [o/hi]}
  b: {docker: [{image: "x:latest"}], steps: [checkout]}
workflows:
  w: {jobs: [a, b: {requires: [a], filters: {branches: {only: main}}}]}
  d: {when: << pipeline.parameters.deploy >>, jobs: [b]}
`
	badConfig = "version: 2.1\njobs:\n  build:\n    docker: [{image: 'x:1'}]\n    stesp: [checkout]\n"
)

// folder makes a folder with configurations and an orb.
func folder(t *testing.T) string {
	dir := t.TempDir()
	for name, text := range map[string]string{
		".circleci/config.yml": goodConfig, "bad.yml": badConfig, "parameters.yml": "deploy: true\n",
		"orbs/acme__o@1.2.0.yml": "commands: {hi: {steps: [run: echo hi]}}\n",
		"other.yml":              strings.Replace(goodConfig, "x:latest", "x:2", 1),
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
	}
	return dir
}

func TestConfigCommands(t *testing.T) {
	dir := folder(t)
	for _, c := range []struct {
		args           string
		code           int
		stdout, stderr string // parts; "-" is nothing at all
	}{
		{"validate --orbs orbs", 0, "Config file at .circleci/config.yml is valid.", "warning: .circleci/config.yml:7:24: CFG903"},
		{"validate --orbs orbs other.yml", 0, "Config file at other.yml is valid.", "-"},
		{"validate", 2, "-", ".circleci/config.yml:4:11: CFG025: Cannot find acme/o@1"},
		{"validate bad.yml", 2, "-", "bad.yml:5:5: CFG010: extraneous key [stesp]"},
		{"validate bad.yml", 2, "-", "hint: did you mean steps?"},
		{"validate none.yml", 2, "-", "none.yml"},
		{"validate a b", 2, "-", "validate: accepts at most 1 arg(s)"},
		{"validate --nonsense", 2, "-", "See 'rondo config validate --help'"},
		{"validate --orbs nowhere", 2, "-", "--orbs: no such folder"},
		{"validate --orbs bad.yml", 2, "-", "bad.yml is a file"},
		{"validate --pipeline-parameters nowhere.yml", 2, "-", "neither a file nor a YAML map"},
		{"validate --orbs orbs --pipeline-parameters {deplyo:1}", 2, "-", "CFG031: Unexpected argument(s): deplyo:1"},
		{"process --orbs orbs", 0, "# Orb 'acme/o@1' resolved to 'acme/o@1.2.0'\nversion: 2\n", "-"},
		{"process --orbs orbs --pipeline-parameters parameters.yml", 0, "  d:\n    jobs:\n    - b\n", "-"},
		{"process bad.yml", 2, "-", "bad.yml:5:5: CFG010"},
		{"explain cfg012", 0, "CFG012: a value of the wrong kind", "-"},
		{"explain", 0, "CFG912: ", "-"},
		{"explain CFG1", 2, "-", "there is no error code \"CFG1\""},
		{"diff --orbs orbs .circleci/config.yml .circleci/config.yml", 0, "-", "-"},
		{"diff --orbs orbs .circleci/config.yml other.yml", 1, "x:latest", "-"},
		{"diff bad.yml", 2, "-", "diff: accepts 2 arg(s)"},
		{"diff bad.yml bad.yml", 2, "-", "CFG010"},
		{"graph --orbs orbs", 0, "flowchart", "-"},
		{"graph --orbs orbs --format svg", 0, "<svg", "-"},
		{"graph --orbs orbs --format png", 2, "-", "choose mermaid or svg"},
		{"graph --orbs orbs --format svg --pipeline-parameters parameters.yml", 2, "-", "choose one with --workflow: "},
		{"graph --orbs orbs --workflow x", 2, "-", "no workflow \"x\" runs here"},
		{"graph --orbs orbs --tag v1", 2, "-", "no workflow runs"},
		{"schema", 0, "\"$schema\"", "-"},
		{"nonsense", 2, "-", "config has no command \"nonsense\""},
		{"", 0, "Available Commands", "-"},
	} {
		t.Run(c.args, func(t *testing.T) {
			stdout, stderr, code := rondo(t, dir, "", append([]string{"config"}, strings.Fields(c.args)...)...)
			require.Equal(t, c.code, code, "%s\n%s", stdout, stderr)
			for _, x := range []struct{ want, got string }{{c.stdout, stdout}, {c.stderr, stderr}} {
				if x.want == "-" {
					require.Empty(t, x.got)
				} else {
					require.Contains(t, x.got, x.want)
				}
			}
			require.NotContains(t, stdout+stderr, "\x1b", "colours are for terminals")
		})
	}
}

func TestConfigFromStandardInput(t *testing.T) {
	stdout, stderr, code := rondo(t, t.TempDir(), badConfig, "config", "validate", "--json", "-")
	require.Equal(t, 2, code)
	require.Empty(t, stderr)
	var v verdict
	require.NoError(t, json.Unmarshal([]byte(stdout), &v))
	require.False(t, v.Valid)
	require.NotNil(t, v.Warnings)
	require.Len(t, v.Errors, 2)
	e := v.Errors[1]
	require.Equal(t, []any{"stdin", 5, 5, "CFG010", "did you mean steps?"}, []any{e.File, e.Line, e.Col, e.Code, e.Hint})
	require.Equal(t, "    stesp: [checkout]\n    ^", e.Snippet)
}

// TestHelpTeaches: the help of each command has an example and its exit codes.
func TestHelpTeaches(t *testing.T) {
	for _, cmd := range configCommand().Commands() {
		require.NotEmpty(t, cmd.Example, cmd.Name())
		require.Greater(t, len(cmd.Long), 100, cmd.Name())
		if cmd.Name() != "explain" && cmd.Name() != "schema" {
			require.Contains(t, cmd.Long, "Exit codes: 0", cmd.Name())
		}
	}
}

// TestPaint: colours are added and nothing else is changed.
func TestPaint(t *testing.T) {
	_, err := config.Compile(t.Context(), []byte(badConfig+"    a | b: {}\n    resource_class: []\n"), config.Options{})
	all := config.Errors(err)
	require.NotEmpty(t, all)
	bare := strings.NewReplacer(bold, "", red, "", yellow, "", cyan, "", dim, "", plain, "")
	for _, p := range all {
		for _, prefix := range []string{"", "warning: "} {
			text := prefix + config.Render(p)
			painted := paint(text, prefix, p)
			require.Equal(t, text, bare.Replace(painted))
			require.Contains(t, painted, "\x1b[")
		}
	}
}
