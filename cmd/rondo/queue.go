package main

import (
	"fmt"
	"io"
	"net/url"
	"strconv"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/cmd/internal/screen"
	"github.com/spf13/cobra"
)

// queueCommand is what operators see of the queue and do to it.
func queueCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "queue", Short: "See what waits and why, promote and cancel",
		Long: `Queue shows what waits: in the usage queue for the limit of its organisation, in
the run queue for room.

` + remoteHelp,
	}
	cmd.AddCommand(queueListCommand(), explainTaskCommand(), promoteCommand(), cancelQueueCommand())
	return cmd
}

// A queueView is how the API shows the queue.
type queueView struct {
	Placed  int          `json:"placed"`
	Running int          `json:"running"`
	Oldest  *time.Time   `json:"oldest_queued_at"`
	Advice  string       `json:"advice"`
	Missing int          `json:"missing_nodes"`
	Usage   ci.QueuePart `json:"usage_queue"`
	Run     ci.QueuePart `json:"run_queue"`
}

func queueListCommand() *cobra.Command {
	var n int
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls", "depth"}, Short: "Count both queues and show their ends", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			v, err := ask[queueView](cmd.Context(), "/queue?n="+strconv.Itoa(n))
			if err != nil || asJSON {
				return orJSON(err, v)
			}
			w := cmd.OutOrStdout()
			for _, part := range []ci.QueuePart{v.Usage, v.Run} {
				printPart(w, part)
			}
			fmt.Fprintf(w, "%d placed, %d running\n", v.Placed, v.Running)
			if v.Advice != "" {
				fmt.Fprintln(w, screen.Text(v.Advice))
			}
			return nil
		},
	}
	cmd.Flags().IntVarP(&n, "n", "n", 3, "how many of each end")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printPart(w io.Writer, p ci.QueuePart) {
	fmt.Fprintf(w, "%s queue: %d\n", p.Name, p.Total)
	show := func(all []ci.QueuePlace) {
		for _, at := range all {
			name := at.BuildURL
			if name == "" {
				name = "a task of a project that you may not see"
			}
			fmt.Fprintf(w, "  %d  %s  %s\n", at.Position, screen.Text(name), screen.Text(at.Job))
		}
	}
	show(p.First)
	if between := p.Total - len(p.First) - len(p.Last); between > 0 && len(p.First) > 0 {
		fmt.Fprintf(w, "  ... %d more\n", between)
	}
	show(p.Last)
}

func explainTaskCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "explain TASK|BUILD-NUMBER|URL", Aliases: []string{"why"}, Short: "Say where a task is, why, when it will start, and what is wrong", Args: cobra.ExactArgs(1),
		Long: `Explain follows a task through every hop, as the guide's chapter "Debugging
Queuing Builds" does by hand: usage queue, run queue, placed, claimed, running,
with the time in each; its position, the reason, the predicted start, what
capacity would help, and a diagnosis when something is wrong.

` + remoteHelp,
		Example: `  rondo queue explain 12
  rondo queue explain gh/acme/shop/12
  rondo queue explain https://ci.example.com/jobs/gh/acme/shop/12`,
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := ask[listed[ci.Explanation]](cmd.Context(), "/queue/explain?of="+url.QueryEscape(args[0]))
			if err != nil || asJSON {
				return orJSON(err, all.Items)
			}
			for i, x := range all.Items {
				if i > 0 {
					fmt.Fprintln(cmd.OutOrStdout())
				}
				printExplanation(cmd.OutOrStdout(), x)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func printExplanation(w io.Writer, x ci.Explanation) {
	fmt.Fprintf(w, "%s, task %s\n", screen.Text(x.Task.Name), x.Task.ID)
	if x.BuildURL != "" {
		fmt.Fprintln(w, screen.Text(x.BuildURL))
	}
	if x.ID != "" {
		fmt.Fprintf(w, "job %s, allocation %s\n", screen.Text(x.ID), brief(x.Allocation))
	}
	fmt.Fprintf(w, "\n%s: %s\n", x.Why.Code, screen.Text(x.Why.Text))
	printWhy(w, x)
	fmt.Fprintln(w)
	rows := [][]string{{"HOP", "SINCE", "TIME"}}
	for _, h := range x.Hops {
		took := time.Duration(h.Seconds * float64(time.Second)).Round(time.Millisecond).String()
		if h.Until.IsZero() {
			took += ", so far"
		}
		rows = append(rows, []string{h.Name, h.Since.UTC().Format(time.RFC3339), took})
	}
	columns(w, rows...)
}

func promoteCommand() *cobra.Command {
	var n int
	var org string
	var force, asJSON bool
	cmd := &cobra.Command{
		Use: "promote", Short: "Move tasks from the usage queue to the run queue, past the limit", Args: cobra.NoArgs,
		Long: `Promote lets tasks start although their organisation is at its limit, in the
order of the queue. Up to 100 at once are safe, the entire queue is not: more
than 100, or all of a queue longer than 10, takes --force.

` + remoteHelp,
		RunE: func(cmd *cobra.Command, _ []string) error {
			m, err := tell[ci.QueueMove](cmd.Context(), "/queue/promote", map[string]any{"org": org, "count": n, "force": force})
			if err != nil || asJSON {
				return orJSON(err, m)
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d promoted, %d left in the usage queue\n", m.Moved, m.Left)
			return nil
		},
	}
	cmd.Flags().IntVarP(&n, "n", "n", 3, "how many")
	cmd.Flags().StringVar(&org, "org", "", "only of this organisation")
	cmd.Flags().BoolVar(&force, "force", false, "also more than 100, or all")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func cancelQueueCommand() *cobra.Command {
	var n int
	var older time.Duration
	var all, yes, asJSON bool
	cmd := &cobra.Command{
		Use: "cancel", Short: "Cancel what is jammed in the run queue, in batches of 100", Args: cobra.NoArgs,
		Long: `Cancel cancels jobs that wait in the run queue, the next to start first: -n of
them, or with --all one batch of 100 after the other. The code host is told of
each, as of any other cancel.

` + remoteHelp,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !yes {
				if err := sure(cmd, "Cancel jobs that wait in the run queue?", "--yes"); err != nil {
					return err
				}
			}
			body := map[string]any{"count": n, "older_than": older.String()}
			var sum ci.QueueMove
			for batch := 1; ; batch++ {
				m, err := tell[ci.QueueMove](cmd.Context(), "/queue/cancel", body)
				if err != nil {
					return err
				}
				sum.Moved, sum.Left = sum.Moved+m.Moved, m.Left
				if !asJSON {
					fmt.Fprintf(cmd.OutOrStdout(), "batch %d: %d canceled, %d left\n", batch, m.Moved, m.Left)
				}
				if !all || m.Left == 0 || m.Moved == 0 {
					break
				}
			}
			if asJSON {
				return printJSON(sum)
			}
			return nil
		},
	}
	cmd.Flags().IntVarP(&n, "n", "n", 100, "how many at once, at most 100")
	cmd.Flags().DurationVar(&older, "older-than", 0, "only what has waited for that long, as in 1h")
	cmd.Flags().BoolVar(&all, "all", false, "batch after batch, until nothing is left")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// servicesCommand lists what a server is made of.
func servicesCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "services", Short: "See what the server is made of", Long: "Services shows the parts of a server.\n\n" + remoteHelp}
	var asJSON bool
	ps := &cobra.Command{
		Use: "ps", Short: "List roles, versions, uptimes and ports, as docker ps does for the guide's", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := ask[listed[ci.Service]](cmd.Context(), "/services")
			if err != nil || asJSON {
				return orJSON(err, all.Items)
			}
			rows := [][]string{{"ROLE", "STATUS", "VERSION", "UP", "PORTS", "HERE"}}
			for _, s := range all.Items {
				up := "-"
				if s.State == "up" {
					up = (time.Duration(s.Up) * time.Second).String()
				}
				ports := "-"
				if len(s.Ports) > 0 {
					ports = fmt.Sprint(s.Ports)
				}
				rows = append(rows, []string{s.Role, s.State, s.Version, up, ports, s.Here})
			}
			columns(cmd.OutOrStdout(), rows...)
			return nil
		},
	}
	ps.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.AddCommand(ps)
	return cmd
}
