package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

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

func (f *configFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.orbs, "orbs", "", "folder with the orbs that the configuration imports")
	flags.StringVar(&f.parameters, "pipeline-parameters", "", "values of pipeline parameters: YAML or JSON, or a file of it")
	flags.StringVarP(&f.branch, "branch", "b", "", "compile as for this branch (default: main)")
	flags.StringVar(&f.tag, "tag", "", "compile as for this tag")
}

// options returns the compiler's options for a file of that name.
func (f *configFlags) options(name string) (config.Options, error) {
	o := config.Options{File: name, Values: map[string]any{}}
	if f.orbs != "" {
		o.Orbs = orb.Folder(f.orbs)
	}
	if f.branch != "" {
		o.Values["git.branch"] = f.branch
	}
	if f.tag != "" {
		o.Values["git.tag"] = f.tag
	}
	if f.parameters == "" {
		return o, nil
	}
	text := []byte(f.parameters)
	if b, err := os.ReadFile(f.parameters); err == nil {
		text = b
	}
	if err := yaml.Unmarshal(text, &o.Parameters); err != nil {
		return o, codeError{exitUsage, fmt.Errorf("--pipeline-parameters: neither a file nor YAML: %w", err)}
	}
	return o, nil
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

// compileFile compiles the named file. Mistakes have been printed when it
// returns an error.
func (f *configFlags) compileFile(ctx context.Context, args []string) (string, ci.Plan, error) {
	name, source, err := readConfig(args)
	if err != nil {
		return name, ci.Plan{}, err
	}
	options, err := f.options(name)
	if err != nil {
		return name, ci.Plan{}, err
	}
	plan, err := config.Compile(ctx, source, options)
	return name, plan, f.refused(err)
}

// refused prints the mistakes of a configuration.
func (f *configFlags) refused(err error) error {
	if err == nil {
		return nil
	}
	mistakes := config.Errors(err)
	if len(mistakes) == 0 {
		return err
	}
	if f.json {
		return errors.Join(printJSON(map[string]any{"valid": false, "errors": mistakes}), codeError{exitUsage, nil})
	}
	fmt.Fprint(os.Stderr, config.Render(err))
	return codeError{exitUsage, nil}
}

func printJSON(v any) error {
	enc := json.NewEncoder(os.Stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

func configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Check, expand and compare configurations",
		Long: `The config commands use the compiler of the Rondo server, so their verdict is
the server's. Where a FILE is not named it is ` + engine.ConfigFile + `; - is standard
input. Exit codes: 0 valid, 2 wrong usage or a mistake in the configuration.`,
	}
	cmd.AddCommand(validateCommand(), processCommand(), explainCommand(), diffCommand(), graphCommand(), schemaCommand())
	return cmd
}

func validateCommand() *cobra.Command {
	var f configFlags
	cmd := &cobra.Command{
		Use: "validate [FILE]", Short: "Say whether a configuration is valid, and if not, why",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, plan, err := f.compileFile(cmd.Context(), args)
			if err != nil {
				return err
			}
			if f.json {
				return printJSON(map[string]any{"valid": true, "warnings": plan.Warnings})
			}
			for _, w := range plan.Warnings {
				fmt.Fprintln(os.Stderr, "warning: "+w)
			}
			fmt.Printf("Config file at %s is valid.\n", name)
			return nil
		},
	}
	f.add(cmd)
	cmd.Flags().BoolVar(&f.json, "json", false, "print the verdict as JSON")
	return cmd
}

func processCommand() *cobra.Command {
	var f configFlags
	cmd := &cobra.Command{
		Use: "process [FILE]", Short: "Print a configuration with everything expanded",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, source, err := readConfig(args)
			if err != nil {
				return err
			}
			options, err := f.options(name)
			if err != nil {
				return err
			}
			text, err := config.Process(cmd.Context(), source, options)
			if err := f.refused(err); err != nil {
				return err
			}
			fmt.Print(text)
			return nil
		},
	}
	f.add(cmd)
	return cmd
}

func explainCommand() *cobra.Command {
	return &cobra.Command{
		Use: "explain CODE", Short: "Explain an error code, as CFG012",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			text := config.Explain(args[0])
			if text == "" {
				return codeError{exitUsage, fmt.Errorf("there is no error code %q", args[0])}
			}
			fmt.Println(text)
			return nil
		},
	}
}

func diffCommand() *cobra.Command {
	var f configFlags
	cmd := &cobra.Command{
		Use: "diff A B", Short: "Say what two configurations do differently",
		Long: "Diff compares what two configurations compile to. Exit code 1 says that they differ.",
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, a, err := f.compileFile(cmd.Context(), args[:1])
			if err != nil {
				return err
			}
			_, b, err := f.compileFile(cmd.Context(), args[1:])
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
	f.add(cmd)
	return cmd
}

func graphCommand() *cobra.Command {
	var f configFlags
	var workflow, format string
	cmd := &cobra.Command{
		Use: "graph [FILE]", Short: "Draw the workflows, as Mermaid or SVG",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			_, plan, err := f.compileFile(cmd.Context(), args)
			if err != nil {
				return err
			}
			if plan, err = choose(plan, workflow, "", false); err != nil {
				return codeError{exitUsage, err}
			}
			for _, w := range plan.Workflows {
				switch format {
				case "mermaid":
					fmt.Println(config.Mermaid(w))
				case "svg":
					fmt.Println(config.SVG(w))
				default:
					return codeError{exitUsage, fmt.Errorf("--format %s: choose mermaid or svg", format)}
				}
			}
			return nil
		},
	}
	f.add(cmd)
	cmd.Flags().StringVarP(&workflow, "workflow", "w", "", "draw this workflow only")
	cmd.Flags().StringVar(&format, "format", "mermaid", "mermaid or svg")
	return cmd
}

func schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use: "schema", Short: "Print the JSON schema of configurations, for editors",
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := os.Stdout.Write(config.Schema())
			return err
		},
	}
}
