package tool

import (
	"errors"
	"flag"
	"fmt"
	"os/exec"
	"strings"
)

const runHelp = `Usage: circleci tests run --command=COMMAND [flags of tests split] [FILE]

Takes this node's share of a list of tests and runs the command with the share
on its standard input, one a line. The exit code is that of the command. With
an empty share the command is not run.

  --verbose   print the command and the share first, on standard error
`

// testsRun runs a command with this node's share.
func (c *call) testsRun(args []string) error {
	if c.wantsHelp(args, runHelp) {
		return nil
	}
	set := flag.NewFlagSet("tests run", flag.ContinueOnError)
	var f splitFlags
	f.add(set, c)
	command := set.String("command", "", "")
	verbose := set.Bool("verbose", false, "")
	files, err := parse(set, args)
	if err != nil {
		return err
	}
	if *command == "" {
		return errUsage{"tests run: --command is missing"}
	}
	share, err := c.share(f, files)
	if err != nil {
		return fmt.Errorf("tests run: %w", err)
	}
	if *verbose {
		fmt.Fprintf(c.stderr, "command: %s\n%s\n", *command, strings.Join(share, "\n"))
	}
	if len(share) == 0 {
		fmt.Fprintln(c.stderr, "There are no tests for this node; the command is not run.")
		return nil
	}
	shell := "sh"
	if _, err := exec.LookPath("bash"); err == nil {
		shell = "bash"
	}
	cmd := exec.Command(shell, "-c", *command)
	cmd.Env, cmd.Stdout, cmd.Stderr = c.env, c.stdout, c.stderr
	cmd.Stdin = strings.NewReader(strings.Join(share, "\n") + "\n")
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return errCode(max(exit.ExitCode(), 1)) // -1: ended by a signal
	}
	if err != nil {
		return fmt.Errorf("tests run: %w", err)
	}
	return nil
}
