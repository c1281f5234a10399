package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestScripts runs testdata/*.txtar: the program as people use it, in real
// repositories.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", filepath.Join(e.WorkDir, ".home"))
			e.Setenv("XDG_CACHE_HOME", filepath.Join(e.WorkDir, ".cache"))
			e.Setenv("USER", "ada")
			e.Setenv("LANG", "C.UTF-8")
			config := filepath.Join(e.WorkDir, ".gitconfig")
			e.Setenv("GIT_CONFIG_GLOBAL", config)
			return os.WriteFile(config, []byte("[user]\nname=Ada\nemail=ada@localhost\n[init]\ndefaultBranch=main\n"), 0o600)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"repo": scriptRepo, "await": scriptAwait, "clean": scriptClean, "json": scriptJSON, "ordered": scriptOrdered,
			"status": scriptStatus,
		},
	})
}

// scriptRepo makes the folder a repository with all its files in one commit,
// and goes there: repo DIR.
func scriptRepo(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: repo DIR")
	}
	ts.Check(ts.Chdir(args[0]))
	for _, git := range []string{"init -q", "add -A", "commit -q -m first"} {
		ts.Check(ts.Exec("git", strings.Fields(git)...))
	}
}

// scriptAwait waits for a file: await FILE.
func scriptAwait(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: await FILE")
	}
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
	}
	ts.Fatalf("%s does not come", args[0])
}

// scriptClean checks that no run has left a temporary file or a process.
func scriptClean(ts *testscript.TestScript, _ bool, _ []string) {
	left, err := os.ReadDir(ts.Getenv("TMPDIR"))
	ts.Check(err)
	for _, e := range left {
		ts.Fatalf("left in TMPDIR: %s", e.Name())
	}
	processes, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, p := range processes {
		env, _ := os.ReadFile(p)
		if bytes.Contains(env, []byte("RONDO_TASK=")) && bytes.Contains(env, []byte(ts.Getenv("WORK"))) {
			line, _ := os.ReadFile(filepath.Join(filepath.Dir(p), "cmdline"))
			ts.Fatalf("left running: %s", bytes.ReplaceAll(line, []byte{0}, []byte(" ")))
		}
	}
}

// scriptJSON checks that each line of the file is a JSON object, and writes
// what the steps of a job printed to another: json FILE JOB TO.
func scriptJSON(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: json FILE JOB TO")
	}
	var text strings.Builder
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		var o struct {
			Kind, Job, Text string
			Index           int
		}
		ts.Check(json.Unmarshal([]byte(line), &o))
		if o.Kind == "output" && o.Job == args[1] && o.Index > 0 {
			text.WriteString(o.Text)
		}
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(text.String()), 0o600))
}

// scriptOrdered checks that the last standard output has the texts as whole
// lines, in this order: ordered TEXT...
func scriptOrdered(ts *testscript.TestScript, _ bool, args []string) {
	lines := strings.Split(ts.ReadFile("stdout"), "\n")
	for _, line := range lines {
		if len(args) > 0 && line == args[0] {
			args = args[1:]
		}
	}
	if len(args) > 0 {
		ts.Fatalf("no line %q, or not there", args[0])
	}
}

// scriptStatus runs a program that must end with that code: status CODE
// PROGRAM ARG...
func scriptStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status CODE PROGRAM ARG...")
	}
	code := "0"
	var exit *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &exit) {
		code = strconv.Itoa(exit.ExitCode())
	}
	if code != args[0] {
		ts.Fatalf("exit code %s, not %s", code, args[0])
	}
}
