package main

import (
	"fmt"
	"os"

	"github.com/rondo-ci/rondo/cmd/internal/engine"
	"github.com/rondo-ci/rondo/cmd/internal/worker"
	"github.com/spf13/cobra"
)

// runFlags are the flags of run.
type runFlags struct {
	workflow, job, branch, tag string
	config, orbs, artifacts    string
	parameters, env, approve   []string
	alone, json, verbose       bool
	jobs                       worker.Docker
}

func runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the workflows of the working copy on this machine",
		Long: `Run compiles the configuration of the working copy and runs its workflows here,
with the engine of the Rondo server: the order of the graph, parallel nodes,
matrices, caches, workspaces, artifacts and test results are as on the server.
Changes that are not committed are included.

Jobs run as processes of this machine in a folder of their own, and images named
in the configuration are not used, unless --docker says so. Caches are kept between runs. Nothing is sent
anywhere, unless a job does so itself.

Exit codes: 0 success, 1 a job failed, 2 wrong usage or a mistake in the
configuration, 3 an approval job waits, 130 canceled with Ctrl-C or a signal.`,
		Example: `  rondo run
  rondo run --workflow build --job test
  rondo run -p deploy=false --branch release/2 --approve hold
  rondo run --json | jq -c 'select(.kind == "job.ended")'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			code, err := runWorkflows(cmd.Context(), f)
			if err != nil || code != exitSuccess {
				return codeError{code, err}
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.workflow, "workflow", "w", "", "run this workflow only")
	flags.StringVarP(&f.job, "job", "j", "", "run this job, and first the jobs that it requires")
	flags.BoolVar(&f.alone, "alone", false, "with --job: do not run the jobs that it requires")
	flags.StringArrayVarP(&f.parameters, "parameter", "p", nil, "value of a pipeline parameter, as key=value (repeatable)")
	flags.StringVarP(&f.branch, "branch", "b", "", "run as if on this branch (default: the current one)")
	flags.StringVar(&f.tag, "tag", "", "run as if for this tag")
	flags.StringArrayVarP(&f.env, "env", "e", nil, "secret variable for every job, as key=value, or key alone to pass on your own (repeatable)")
	flags.StringArrayVar(&f.approve, "approve", nil, "let this approval job pass; all for every one (repeatable)")
	flags.StringVarP(&f.config, "config", "c", "", "configuration file (default: "+engine.ConfigFile+" of the repository)")
	flags.StringVar(&f.orbs, "orbs", "", "folder with the orbs that the configuration imports")
	flags.StringVar(&f.artifacts, "artifacts", "", "folder that receives the artifacts (default: one in your cache folder)")
	f.jobs.AddFlags(flags)
	flags.BoolVar(&f.json, "json", false, "print JSON: a line for each event, piece of output, and at the end a summary")
	flags.BoolVarP(&f.verbose, "verbose", "v", false, "print lines, with all output, on a terminal too")
	return cmd
}

// note tells people something beside the output proper.
func note(format string, args ...any) { fmt.Fprintf(os.Stderr, "rondo: "+format+"\n", args...) }
