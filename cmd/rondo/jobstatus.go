package main

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/cmd/internal/screen"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/spf13/cobra"
)

// jobStatusCommand is nomad status.
func jobStatusCommand() *cobra.Command {
	return oldCommand("status [JOB]", "List the cluster's jobs, or say where one is",
		`Status lists the jobs of the cluster: one for each parallel node of a build.
pending waits for room or starts, running has an agent, dead has ended, well or
not. With the ID of a job, its beginning, a task or an allocation it says where
that is and why.`,
		func(set *flag.FlagSet) func(*cobra.Command, []string) error {
			asJSON := set.Bool("json", false, "print JSON")
			return func(cmd *cobra.Command, args []string) error {
				id, err := one(cmd, args, "job", false)
				if err != nil {
					return err
				}
				if id == "" {
					all, err := ask[listed[ci.Trace]](cmd.Context(), "/placements")
					if err != nil || *asJSON {
						return orJSON(err, all.Items)
					}
					printJobs(cmd.OutOrStdout(), all.Items)
					return nil
				}
				x, err := ask[ci.Explanation](cmd.Context(), "/placements/"+url.PathEscape(id))
				if err != nil || *asJSON {
					return orJSON(err, x)
				}
				printJob(cmd.OutOrStdout(), x)
				return nil
			}
		})
}

// orJSON returns the error, or prints the value.
func orJSON(err error, v any) error {
	if err != nil {
		return err
	}
	return printJSON(v)
}

func printJobs(w io.Writer, all []ci.Trace) {
	if len(all) == 0 {
		fmt.Fprintln(w, "No running jobs")
		return
	}
	rows := [][]string{{"ID", "Type", "Priority", "Status"}}
	for _, t := range all {
		rows = append(rows, []string{t.ID, scheduler.JobType, strconv.Itoa(scheduler.JobPriority), t.State})
	}
	columns(w, rows...)
}

func printJob(w io.Writer, x ci.Explanation) {
	fields(w, "ID", x.ID, "Name", x.ID, "Type", scheduler.JobType, "Priority", strconv.Itoa(scheduler.JobPriority),
		"Datacenters", "us-east-1", "Status", x.State, "Build", x.BuildURL)
	fmt.Fprintf(w, "\nPlacement\n%s\n", screen.Text(x.Why.Text))
	printWhy(w, x)
	fmt.Fprint(w, "\nAllocations\n")
	if x.Placed.IsZero() && x.Node == "" {
		fmt.Fprintln(w, "No allocations placed")
		return
	}
	desired := "run"
	if x.State == "dead" {
		desired = "stop"
	}
	columns(w, []string{"ID", "Node", "Task Group", "Desired", "Status", "Created At"},
		[]string{brief(x.Allocation), x.Node, x.Task.Name, desired, x.State, clockTime(x.Placed)})
}

// printWhy prints what there is to say besides the reason.
func printWhy(w io.Writer, x ci.Explanation) {
	if x.Why.Position > 0 {
		fmt.Fprintf(w, "Position %d in the queue.\n", x.Why.Position)
	}
	if !x.Why.Starts.IsZero() {
		fmt.Fprintf(w, "Expected to start in %s, at %s.\n", time.Until(x.Why.Starts).Round(time.Second), clockTime(x.Why.Starts))
	}
	if x.Advice != "" && !strings.Contains(x.Why.Text, x.Advice) {
		fmt.Fprintln(w, screen.Text(x.Advice))
	}
	if d := x.Diagnosis; d != nil {
		fmt.Fprintf(w, "\nDiagnosis: %s\n", screen.Text(d.Code))
		if d.Text != x.Why.Text {
			fmt.Fprintln(w, screen.Text(d.Text))
		}
		for _, e := range d.Evidence {
			fmt.Fprintln(w, "  "+screen.Text(e))
		}
		fmt.Fprintln(w, screen.Text(d.Fix))
	}
}

// clockTime shows a moment, as the nomad command does.
func clockTime(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("01/02/06 15:04:05 MST")
}

// agentLogsCommand is nomad logs.
func agentLogsCommand() *cobra.Command {
	return oldCommand("logs ID", "Print what the agent of a job has written",
		`Logs prints what the agent of an allocation has written itself; the output of
steps is on the job's page. Agents write to standard error, so ask with -stderr.
With -job the ID is that of a job, or its beginning: when several allocations
fit, one of them is taken at random, and standard error says which.`,
		func(set *flag.FlagSet) func(*cobra.Command, []string) error {
			job := set.Bool("job", false, "the ID is a job's")
			stderr := set.Bool("stderr", false, "print standard error, where agents write")
			return func(cmd *cobra.Command, args []string) error {
				id, err := one(cmd, args, "allocation, or a job with -job", true)
				if err != nil {
					return err
				}
				return printAgentLogs(cmd, id, *job, *stderr)
			}
		})
}

func printAgentLogs(cmd *cobra.Command, id string, job, stderr bool) error {
	if _, err := scheduler.ParseJobID(id); err == nil && !job {
		return codeError{exitUsage, fmt.Errorf("%s is the ID of a job: say rondo nomad logs -job -stderr %[1]s, or take an allocation from rondo nomad status %[1]s", id)}
	}
	r, err := newRemote(cmd.Context())
	if err != nil {
		return err
	}
	if !stderr {
		note("agents write to standard error: add -stderr to see it")
	}
	res, err := r.do(cmd.Context(), http.MethodGet, "/placements/"+url.PathEscape(id)+"/output?stderr="+strconv.FormatBool(stderr), nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if job {
		note("this is allocation %s of job %s", brief(res.Header.Get("X-Allocation")), screen.Text(res.Header.Get("X-Job")))
	}
	_, err = io.Copy(plainWriter{os.Stdout}, res.Body)
	return err
}

// plainWriter lets no control characters but line ends and tabs through: what
// an agent writes must not move the cursor of an operator.
type plainWriter struct{ w io.Writer }

// Write implements io.Writer.
func (p plainWriter) Write(data []byte) (int, error) {
	clean := make([]byte, 0, len(data))
	for _, b := range data {
		if b >= ' ' && b != 0x7f || b == '\n' || b == '\t' {
			clean = append(clean, b)
		}
	}
	_, err := p.w.Write(clean)
	return len(data), err
}
