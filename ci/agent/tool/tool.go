// Package tool is the command line that jobs find as circleci and
// circleci-agent on their PATH: it deals out tests, halts the job, and fills
// in templates.
//
// [Main] is the whole program. It talks to the agent through a folder that the
// agent names in the environment, and to nobody else: no network, no server.
package tool

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/rondo-ci/rondo/ci/agent/docker/warden"
)

// TaskData is the environment variable that names the folder which the agent
// and this tool share.
const TaskData = "CIRCLE_INTERNAL_TASK_DATA"

// Files in the shared folder.
const (
	// HaltFile exists once the job was halted.
	HaltFile = "halt"
	// TimingsFile holds the tests of an earlier run, a JSON list of ci.Test.
	TimingsFile = "timings.json"
	// PendingFile exists while the agent is still fetching them.
	PendingFile = "timings.pending"
)

// Named reports whether a program that was started under that name should
// behave as this tool.
func Named(program string) bool {
	switch filepath.Base(program) {
	case "circleci", "circleci-agent":
		return true
	}
	return false
}

// call is one run of the tool.
type call struct {
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	env    []string
}

// errUsage says that the arguments are wrong; the message is printed as it is.
type errUsage struct{ text string }

func (e errUsage) Error() string { return e.text }

// errCode is the exit code of a command that the tool ran.
type errCode int

func (e errCode) Error() string { return fmt.Sprintf("command exited with code %d", int(e)) }

const help = `Usage: circleci <command>

  tests glob PATTERN...     print the paths that match, one a line
  tests split [FILE]        print this node's share of a list of tests
  tests run --command=CMD   run CMD with this node's share on its standard input
  step halt                 end the job here, as a success
  env subst [TEXT]          replace $NAME and ${NAME} by environment variables
  version

Each command prints more with --help. Lists are read from standard input
unless a file is named.
`

// Main runs the tool with the arguments behind the program's name and returns
// its exit code: 0, 1 for an error, 2 for wrong usage, or that of the command
// that tests run has run. The environment is a list of NAME=value, as
// [os.Environ] gives it.
func Main(args []string, stdin io.Reader, stdout, stderr io.Writer, env []string) int {
	c := &call{stdin: stdin, stdout: stdout, stderr: stderr, env: env}
	if len(args) == 2 && args[0] == warden.Verb {
		return warden.Main(args[1], stderr)
	}
	err := c.run(args)
	var usage errUsage
	var code errCode
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "Error: %s\nTry: circleci --help\n", usage.text)
		return 2
	}
	fmt.Fprintf(stderr, "Error: %v\n", err)
	return 1
}

// run finds the command.
func (c *call) run(args []string) error {
	if len(args) == 0 || args[0] == "--help" || args[0] == "-h" || args[0] == "help" {
		_, err := io.WriteString(c.stdout, help)
		return err
	}
	verb := args[0]
	if len(args) > 1 && !strings.HasPrefix(args[1], "-") {
		verb += " " + args[1]
	}
	switch verb {
	case "tests glob":
		return c.glob(args[2:])
	case "tests split":
		return c.split(args[2:])
	case "tests run":
		return c.testsRun(args[2:])
	case "step halt":
		return c.halt(args[2:])
	case "env subst":
		return c.subst(args[2:])
	case "version", "--version":
		_, err := fmt.Fprintln(c.stdout, "rondo agent tool")
		return err
	case "tests", "step", "env":
		_, err := io.WriteString(c.stdout, help)
		return err
	}
	return errUsage{fmt.Sprintf("unknown command %q; inside a job there are: tests, step, env", verb)}
}

// getenv returns the value of a variable, the last one given.
func (c *call) getenv(name string) string {
	v, _ := c.lookup(name)
	return v
}

func (c *call) lookup(name string) (value string, ok bool) {
	for _, kv := range c.env {
		if v, found := strings.CutPrefix(kv, name+"="); found {
			value, ok = v, true
		}
	}
	return value, ok
}

// wantsHelp prints the text if the arguments ask for help.
func (c *call) wantsHelp(args []string, text string) bool {
	for _, a := range args {
		if a == "--" {
			return false
		}
		if a == "--help" || a == "-h" || a == "-help" {
			fmt.Fprint(c.stdout, text)
			return true
		}
	}
	return false
}
