package main

import (
	"errors"
	"flag"
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

// oldCommand is a command whose flags begin with one dash or two, before or
// behind its argument, as those of the nomad command do in the guide.
func oldCommand(use, short, long string, flags func(*flag.FlagSet) func(cmd *cobra.Command, args []string) error) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Long: long, DisableFlagParsing: true}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		set := flag.NewFlagSet(cmd.CommandPath(), flag.ContinueOnError)
		set.SetOutput(io.Discard)
		run := flags(set)
		var rest []string
		for len(args) > 0 {
			switch err := set.Parse(args); {
			case errors.Is(err, flag.ErrHelp):
				return cmd.Help()
			case err != nil:
				return codeError{exitUsage, fmt.Errorf("%w\nSee '%s -help'", err, cmd.CommandPath())}
			}
			if args = set.Args(); len(args) > 0 {
				rest, args = append(rest, args[0]), args[1:]
			}
		}
		return run(cmd, rest)
	}
	set := flag.NewFlagSet("", flag.ContinueOnError)
	flags(set)
	cmd.Long += "\n\nFlags, with one dash or two:\n"
	set.VisitAll(func(f *flag.Flag) { cmd.Long += fmt.Sprintf("  -%-10s %s\n", f.Name, f.Usage) })
	cmd.Long += "\n" + remoteHelp
	return cmd
}

// one returns the only argument, or "" when there may be none.
func one(cmd *cobra.Command, args []string, what string, needed bool) (string, error) {
	switch {
	case len(args) > 1:
		return "", codeError{exitUsage, fmt.Errorf("%s takes one %s, not %q", cmd.CommandPath(), what, args)}
	case len(args) == 0 && needed:
		return "", codeError{exitUsage, fmt.Errorf("name a %s: see '%s -help'", what, cmd.CommandPath())}
	case len(args) == 0:
		return "", nil
	}
	return args[0], nil
}
