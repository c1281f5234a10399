package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/config"
	"github.com/rondo-ci/rondo/ci/config/orb"
	"github.com/rondo-ci/rondo/cmd/internal/engine"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
)

// configFlags are what the commands that compile have in common.
type configFlags struct {
	orbs, parameters, branch, tag string
	json                          bool
}

// add adds the flags; branch is the one that is meant when none is named.
func (f *configFlags) add(cmd *cobra.Command, branch string) {
	flags := cmd.Flags()
	flags.StringVar(&f.orbs, "orbs", "", "folder with the orbs that the configuration imports, as namespace__name@1.2.3.yml")
	flags.StringVar(&f.parameters, "pipeline-parameters", "", "values of pipeline parameters: YAML, JSON, or a file of either")
	flags.StringVarP(&f.branch, "branch", "b", branch, "compile as for a push to this branch")
	flags.StringVar(&f.tag, "tag", "", "compile as for a push of this tag")
}

// options returns the compiler's options for a file of that name.
func (f *configFlags) options(name string) (config.Options, error) {
	o := config.Options{File: name, Values: map[string]any{}}
	var err error
	if o.Orbs, err = orbFolder(f.orbs); err != nil {
		return o, err
	}
	switch {
	case f.tag != "":
		o.Values["git.tag"] = f.tag
	case f.branch != "":
		o.Values["git.branch"] = f.branch
	}
	if f.parameters == "" {
		return o, nil
	}
	text := []byte(f.parameters)
	if b, err := os.ReadFile(f.parameters); err == nil {
		text = b
	}
	if err := yaml.Unmarshal(text, &o.Parameters); err != nil {
		return o, codeError{exitUsage, fmt.Errorf("--pipeline-parameters %s: neither a file nor a YAML map like '{deploy: true}'", clip(f.parameters, 60))}
	}
	return o, nil
}

// orbFolder returns the orbs of --orbs, none when the flag is not given.
func orbFolder(dir string) (config.Orbs, error) {
	if dir == "" {
		return nil, nil
	}
	info, err := os.Stat(dir)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is a file", dir)
	}
	if err != nil {
		return nil, codeError{exitUsage, fmt.Errorf("--orbs: no such folder: %w", err)}
	}
	return orb.Folder(dir), nil
}

// readConfig reads the named file; "-" is standard input, none is the
// configuration of this folder.
func readConfig(args []string) (name string, source []byte, err error) {
	name = engine.ConfigFile
	if len(args) > 0 {
		name = args[0]
	}
	if name == "-" {
		source, err = io.ReadAll(os.Stdin)
		return "stdin", source, err
	}
	source, err = os.ReadFile(name)
	if err != nil {
		return name, nil, codeError{exitUsage, err}
	}
	return name, source, nil
}

// open reads the named file and the options for it.
func (f *configFlags) open(args []string) (source []byte, o config.Options, err error) {
	name, source, err := readConfig(args)
	if err != nil {
		return nil, o, err
	}
	o, err = f.options(name)
	return source, o, err
}

// compileFile compiles the named file. Mistakes have been printed when it
// returns an error.
func (f *configFlags) compileFile(ctx context.Context, args []string) (ci.Plan, error) {
	source, o, err := f.open(args)
	if err != nil {
		return ci.Plan{}, err
	}
	plan, err := config.Compile(ctx, source, o)
	return plan, refused(err)
}

// refused prints the mistakes of a configuration, if err is about such.
func refused(err error) error {
	mistakes := config.Errors(err)
	if len(mistakes) == 0 {
		return err
	}
	show(os.Stderr, "", mistakes...)
	return codeError{exitUsage, nil}
}

// arguments makes a wrong number of arguments a matter of usage.
func arguments(allowed cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := allowed(cmd, args); err != nil {
			return codeError{exitUsage, fmt.Errorf("%s: %w\nSee '%s --help'", cmd.Name(), err, cmd.CommandPath())}
		}
		return nil
	}
}

func configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check, expand and compare configurations",
		Long: `The config commands use the compiler of the Rondo server, so their verdict is
the server's. Where a FILE is not named it is ` + engine.ConfigFile + `; - is standard
input. Nothing is sent anywhere: orbs come from the folder that --orbs names.

Exit codes: 0 valid, 2 wrong usage or a mistake in the configuration, 1 anything
else; of diff, 1 says that the two differ.`,
		Example: `  rondo config validate
  rondo config explain CFG012
  rondo config process --orbs ~/orbs --pipeline-parameters '{deploy: true}'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return codeError{exitUsage, fmt.Errorf("config has no command %q\nSee 'rondo config --help'", args[0])}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(validateCommand(), processCommand(), explainCommand(), diffCommand(), graphCommand(), schemaCommand())
	return cmd
}

// verdict is what validate --json prints.
type verdict struct {
	Valid    bool            `json:"valid"`
	Errors   []*config.Error `json:"errors"`
	Warnings []*config.Error `json:"warnings"`
}

// print prints the verdict on a file, for programs or for people.
func (v verdict) print(asJSON bool, file string) error {
	if asJSON {
		return printJSON(v)
	}
	show(os.Stderr, "", v.Errors...)
	show(os.Stderr, "warning: ", v.Warnings...)
	if !v.Valid {
		return nil
	}
	_, err := fmt.Printf("Config file at %s is valid.\n", file)
	return err
}

func validateCommand() *cobra.Command {
	var f configFlags
	cmd := &cobra.Command{
		Use: "validate [FILE]", Short: "Say whether a configuration is valid, and if not, why",
		Long: `Validate compiles a configuration and prints all mistakes at once, each with
file:line:column, the line in question and what to do about it. The code of a
mistake, like CFG012, is explained by 'rondo config explain CFG012'.

Below them are warnings: what is valid, but will cost somebody an afternoon.
They do not count for the exit code.

Workflows with a condition are checked if it holds, so a configuration may be
valid on one branch and not on another: see --branch, --tag and
--pipeline-parameters. The defaults are a push to a branch without a name, and
the parameters' own defaults.

With --json the verdict is printed as {"valid", "errors", "warnings"}; each
error has file, line, column, code, message, and often hint, trace and snippet.

Exit codes: 0 valid, 2 wrong usage or a mistake in the configuration.`,
		Example: `  rondo config validate
  rondo config validate --orbs ~/orbs services/shop/.circleci/config.yml
  rondo config validate --branch main --pipeline-parameters '{deploy: true}'
  git show HEAD~1:.circleci/config.yml | rondo config validate -
  rondo config validate --json | jq -r '.errors[] | "\(.file):\(.line): \(.message)"'`,
		Args: arguments(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			source, o, err := f.open(args)
			if err != nil {
				return err
			}
			warnings, err := config.Check(cmd.Context(), source, o)
			mistakes := config.Errors(err)
			if err != nil && len(mistakes) == 0 {
				return err
			}
			v := verdict{err == nil, append([]*config.Error{}, mistakes...), append([]*config.Error{}, warnings...)}
			if err := v.print(f.json, o.File); err != nil {
				return err
			}
			if !v.Valid {
				return codeError{exitUsage, nil}
			}
			return nil
		},
	}
	f.add(cmd, "")
	cmd.Flags().BoolVar(&f.json, "json", false, "print the verdict as JSON")
	return cmd
}

func processCommand() *cobra.Command {
	var f configFlags
	cmd := &cobra.Command{
		Use: "process [FILE]", Short: "Print a configuration with everything expanded",
		Long: `Process prints the configuration that runs in the end: orbs, commands, executors,
parameters, conditions and matrices are expanded, jobs have their final names,
and what no workflow uses is gone. The original follows as a comment. Mistakes
go to standard error.

Exit codes: 0 printed, 2 wrong usage or a mistake in the configuration.`,
		Example: `  rondo config process
  rondo config process --orbs ~/orbs --pipeline-parameters parameters.yml config.yml > expanded.yml
  rondo config process --branch release/2 --pipeline-parameters '{deploy: true}'`,
		Args: arguments(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			source, o, err := f.open(args)
			if err != nil {
				return err
			}
			text, err := config.Process(cmd.Context(), source, o)
			if err != nil {
				return refused(err)
			}
			_, err = io.WriteString(os.Stdout, text)
			return err
		},
	}
	f.add(cmd, "")
	return cmd
}

func explainCommand() *cobra.Command {
	return &cobra.Command{
		Use: "explain [CODE]", Short: "Explain an error code, as CFG012; without one list them all",
		Long: `Explain prints the manual page of an error code: what it means, an example and
the way out. Codes are stable; those from CFG900 on are warnings.`,
		Example: `  rondo config explain CFG012
  rondo config explain`,
		Args: arguments(cobra.MaximumNArgs(1)),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				for _, code := range config.Codes() {
					title, _, _ := strings.Cut(config.Explain(code), "\n")
					fmt.Println(title)
				}
				return nil
			}
			text := config.Explain(args[0])
			if text == "" {
				return codeError{exitUsage, fmt.Errorf("there is no error code %q; 'rondo config explain' lists them all", args[0])}
			}
			fmt.Print(text)
			return nil
		},
	}
}

func diffCommand() *cobra.Command {
	var f configFlags
	cmd := &cobra.Command{
		Use: "diff A B", Short: "Say what two configurations do differently",
		Long: `Diff compares what two configurations compile to: workflows and jobs that are
new (+) or gone (-), and of changed jobs (~) the properties and steps. How the
files are written does not count.

Exit codes: 0 the same, 1 different, 2 wrong usage or a mistake in one of them.`,
		Example: `  rondo config diff old.yml .circleci/config.yml
  git show main:.circleci/config.yml | rondo config diff - .circleci/config.yml`,
		Args: arguments(cobra.ExactArgs(2)),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := f.compileFile(cmd.Context(), args[:1])
			if err != nil {
				return err
			}
			b, err := f.compileFile(cmd.Context(), args[1:])
			if err != nil {
				return err
			}
			if diff := config.Diff(a, b); diff != "" {
				fmt.Print(diff)
				return codeError{exitFailed, nil}
			}
			return nil
		},
	}
	f.add(cmd, "main")
	return cmd
}

func graphCommand() *cobra.Command {
	var f configFlags
	var workflow, format string
	cmd := &cobra.Command{
		Use: "graph [FILE]", Short: "Draw the workflows, as Mermaid or SVG",
		Long: `Graph draws the workflows as they run for a branch or tag: jobs that filters keep
out are not there. Mermaid is what code hosts draw inside Markdown; an SVG is one
image, so name a workflow if there are several.

Exit codes: 0 drawn, 2 wrong usage or a mistake in the configuration.`,
		Example: `  rondo config graph
  rondo config graph --workflow build --format svg > build.svg
  rondo config graph --tag v1.0.0`,
		Args: arguments(cobra.MaximumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if format != "mermaid" && format != "svg" {
				return codeError{exitUsage, fmt.Errorf("--format %s: choose mermaid or svg", format)}
			}
			plan, err := f.compileFile(cmd.Context(), args)
			if err != nil {
				return err
			}
			if plan, err = choose(plan, workflow, "", false); err != nil {
				return codeError{exitUsage, err}
			}
			switch {
			case len(plan.Workflows) == 0:
				return codeError{exitUsage, errors.New("no workflow runs for this branch or tag: choose one with --branch or --tag")}
			case format == "mermaid":
				for _, w := range plan.Workflows {
					fmt.Println(config.Mermaid(w))
				}
			case len(plan.Workflows) > 1:
				return codeError{exitUsage, fmt.Errorf("an SVG is one image: choose one with --workflow: %s", workflowNames(plan))}
			default:
				fmt.Println(config.SVG(plan.Workflows[0]))
			}
			return nil
		},
	}
	f.add(cmd, "main")
	cmd.Flags().StringVarP(&workflow, "workflow", "w", "", "draw this workflow only")
	cmd.Flags().StringVar(&format, "format", "mermaid", "mermaid or svg")
	return cmd
}

func schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON schema of configurations, for editors",
		Long: `Schema prints a JSON schema (draft 7). Editors with a YAML language server check
and complete by it, when the configuration begins with the line

  # yaml-language-server: $schema=rondo.schema.json

or their settings name the file. The schema knows the form of a configuration
only; whether a job or orb exists is for 'rondo config validate' to say.`,
		Example: `  rondo config schema > .circleci/rondo.schema.json`,
		Args:    arguments(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			_, err := os.Stdout.Write(config.Schema())
			return err
		},
	}
}
