package main

import (
	"cmp"
	"fmt"
	"net/url"
	"strconv"
	"time"

	"github.com/rondo-ci/rondo/vmservice"
	"github.com/spf13/cobra"
)

// vmCommand is what operators see of the machines of single tasks and do to
// them.
func vmCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "vm", Short: "See the machines of remote Docker and the machine executor, end one, set right, drain",
		Long: `Vm shows the machines that are made for single tasks. When something is left
over at the provider, reconcile says so and ends it: there is never a table to
empty.

` + remoteHelp,
	}
	cmd.AddCommand(vmListCommand(), vmEndCommand(), vmReconcileCommand(), vmDrainCommand())
	return cmd
}

func vmListCommand() *cobra.Command {
	var older time.Duration
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the machines that may exist", Args: cobra.NoArgs,
		Example: `  rondo vm list --older-than 24h`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := ask[listed[vmservice.Record]](cmd.Context(), "/machines/vms?older_than="+url.QueryEscape(older.String()))
			if err != nil || asJSON {
				return orJSON(err, all.Items)
			}
			rows := [][]string{{"Machine", "ID", "Kind", "Class", "State", "Age", "Task", "Why"}}
			for _, m := range all.Items {
				rows = append(rows, []string{
					m.Key, m.ID, string(m.Model.Kind), m.Model.Class, string(m.State), time.Since(m.Asked).Round(time.Second).String(), string(m.Task), m.Why,
				})
			}
			columns(cmd.OutOrStdout(), rows...)
			return nil
		},
	}
	cmd.Flags().DurationVar(&older, "older-than", 0, "only those that were made longer ago, as in 24h")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func vmEndCommand() *cobra.Command {
	return &cobra.Command{
		Use: "end MACHINE", Short: "End one machine, named by its key or by the provider's ID", Args: cobra.ExactArgs(1),
		Long: `End ends a machine, whatever it does: a job that has it ends as an
infrastructure failure. What jobs do not need any more ends without this, and
drain ends all machines that no job has. Again is no harm.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			got, err := tell[vmservice.Record](cmd.Context(), "/machines/admin/end?machine="+url.QueryEscape(args[0]), nil)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "Machine %s (%s) is being ended\n", got.Key, got.ID)
			return nil
		},
	}
}

func vmReconcileCommand() *cobra.Command {
	var dry, asJSON bool
	cmd := &cobra.Command{
		Use: "reconcile", Short: "Compare books and provider, and end what belongs to nobody", Args: cobra.NoArgs,
		Long: `Reconcile asks the provider what it has and prints what the books do not know.
What was found by an earlier look, 30 s ago or more, is ended; the rest when it is seen again,
which the server sees to by itself. Only machines and volumes with the tag of
this installation are ever touched. Again is no harm.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := tell[listed[vmservice.Finding]](cmd.Context(), "/machines/admin/reset?dry_run="+strconv.FormatBool(dry), nil)
			if err != nil || asJSON {
				return orJSON(err, all.Items)
			}
			if len(all.Items) == 0 {
				fmt.Fprintln(cmd.OutOrStdout(), "Books and provider agree")
				return nil
			}
			rows := [][]string{{"Case", "About", "Finding", "Ends"}}
			for _, f := range all.Items {
				acts := f.Acts
				if dry {
					acts = "not now, --dry-run"
				}
				rows = append(rows, []string{f.Case, f.About, f.Text, acts})
			}
			columns(cmd.OutOrStdout(), rows...)
			return nil
		},
	}
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only print")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func vmDrainCommand() *cobra.Command {
	var off bool
	cmd := &cobra.Command{
		Use: "drain", Short: "Give out and keep no machines, or give them out again", Args: cobra.NoArgs,
		Long: `Drain ends idle machines and lets tasks that need one wait; machines that tasks
have are left to them. It holds over a restart, until drain --off.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := tell[map[string]bool](cmd.Context(), "/machines/admin/drain?on="+strconv.FormatBool(!off), nil); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), map[bool]string{true: "Machines are given out", false: "The pool is drained"}[off])
			return nil
		},
	}
	cmd.Flags().BoolVar(&off, "off", false, "end the drain")
	return cmd
}

// dlcCommand is what operators see of Docker layer caches.
func dlcCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "dlc", Short: "List and purge the volumes of Docker layer caching", Long: remoteHelp}
	var asJSON bool
	list := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the volumes", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			all, err := ask[listed[vmservice.VolumeRecord]](cmd.Context(), "/machines/volumes")
			if err != nil || asJSON {
				return orJSON(err, all.Items)
			}
			rows := [][]string{{"Volume", "ID", "Project", "Trust", "GB", "State", "Uses", "Last used"}}
			for _, v := range all.Items {
				rows = append(rows, []string{
					v.Key, v.ID, string(v.Project), v.Trust, strconv.Itoa(v.GB), cmp.Or(v.Doomed, string(v.State)), strconv.Itoa(v.Uses), clockTime(v.Used),
				})
			}
			columns(cmd.OutOrStdout(), rows...)
			return nil
		},
	}
	list.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	purge := &cobra.Command{
		Use: "purge PROJECT", Short: "Remove the volumes of a project", Args: cobra.ExactArgs(1),
		Long: `Purge removes the volumes of a project, named by its slug (gh/acme/shop) or ID:
free ones now, others when their jobs end. The next build starts without layers.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			got, err := tell[map[string]int](cmd.Context(), "/machines/admin/purge?project="+url.QueryEscape(args[0]), nil)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "%d volumes are removed, %d when their jobs end\n", got["removed"], got["when_free"])
			return nil
		},
	}
	cmd.AddCommand(list, purge)
	return cmd
}
