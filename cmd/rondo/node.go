package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/ci"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// nodeStatusCommand is nomad node-status.
func nodeStatusCommand() *cobra.Command {
	return oldCommand("node-status [NODE]", "List the nodes, or show one",
		`Node-status lists the nodes, those that are down among them: the capacity is
that of the ones that are ready. With a node, by name, identity or its
beginning, or with -self it shows what that one runs and how much of it is used.`,
		func(set *flag.FlagSet) func(*cobra.Command, []string) error {
			var f nodeFlags
			set.BoolVar(&f.self, "self", false, "the node that this command runs on")
			set.BoolVar(&f.allocs, "allocs", false, "show how many allocations run on each")
			set.BoolVar(&f.json, "json", false, "print JSON")
			return func(cmd *cobra.Command, args []string) error {
				name, err := one(cmd, args, "node", false)
				if err != nil {
					return err
				}
				return nodeStatus(cmd, name, f)
			}
		})
}

type nodeFlags struct{ self, allocs, json bool }

func nodeStatus(cmd *cobra.Command, name string, f nodeFlags) error {
	all, err := ask[listed[ci.Node]](cmd.Context(), "/nodes")
	if err != nil {
		return err
	}
	if name == "" && !f.self {
		if f.json {
			return printJSON(all.Items)
		}
		printNodes(cmd.OutOrStdout(), all.Items, f.allocs)
		return nil
	}
	n, err := oneNode(all.Items, name, f.self)
	if err != nil {
		return err
	}
	if f.json {
		return printJSON(n)
	}
	placed, err := ask[listed[ci.Trace]](cmd.Context(), "/placements?node="+url.QueryEscape(n.Name))
	if err != nil {
		note("what it runs is not shown: %v", err)
	}
	printNode(cmd.OutOrStdout(), n, placed.Items)
	if f.self {
		printHost(cmd.OutOrStdout(), placed.Items)
	}
	return nil
}

// printNodes prints the columns of the guide. A node that drains is ready: it
// works, and the column Drain says the rest.
func printNodes(w io.Writer, all []ci.Node, allocs bool) {
	head := []string{"ID", "DC", "Name", "Class", "Drain", "Status"}
	if allocs {
		head = append(head, "Running Allocs")
	}
	rows := [][]string{head}
	for _, n := range all {
		row := []string{brief(n.ID), n.Datacenter, n.Name, n.Class, strconv.FormatBool(n.Drain), nodeState(n)}
		if allocs {
			row = append(row, strconv.Itoa(n.Tasks))
		}
		rows = append(rows, row)
	}
	columns(w, rows...)
}

func nodeState(n ci.Node) string {
	if n.State == "draining" {
		return "ready"
	}
	return n.State
}

func printNode(w io.Writer, n ci.Node, placed []ci.Trace) {
	pairs := []string{"ID", brief(n.ID), "Name", n.Name, "Class", n.Class, "DC", n.Datacenter, "Drain", strconv.FormatBool(n.Drain), "Status", nodeState(n)}
	if n.Reason != "" {
		pairs = append(pairs, "Reason", n.Reason)
	}
	fields(w, append(pairs, "Running Allocs", strconv.Itoa(n.Tasks), "Safe to terminate", strconv.FormatBool(n.Safe))...)
	fmt.Fprint(w, "\nAllocated Resources\n")
	columns(w, []string{"CPU", "Memory"}, []string{
		strconv.FormatFloat(n.UsedCPU, 'f', -1, 64) + "/" + strconv.FormatFloat(n.CPU, 'f', -1, 64),
		fmt.Sprintf("%d MiB/%d MiB", n.UsedMemoryMB, n.MemoryMB),
	})
	fmt.Fprint(w, "\nAllocations\n")
	rows := [][]string{{"ID", "Job ID", "Status", "Created At"}}
	for _, t := range placed {
		if t.State != "dead" {
			rows = append(rows, []string{brief(t.Allocation), t.ID, t.State, clockTime(t.Placed)})
		}
	}
	if len(rows) == 1 {
		fmt.Fprintln(w, "No allocations placed")
		return
	}
	columns(w, rows...)
}

// oneNode returns the node that is meant.
func oneNode(all []ci.Node, name string, self bool) (ci.Node, error) {
	if self {
		if name = os.Getenv("RONDO_NODE"); name == "" {
			name, _ = os.Hostname()
		}
	}
	var found []ci.Node
	var names []string
	for _, n := range all {
		short, _, _ := strings.Cut(name, ".")
		if n.Name == name || n.ID == name || self && n.Name == short {
			return n, nil
		}
		if name != "" && strings.HasPrefix(n.ID, name) {
			found = append(found, n)
		}
		names = append(names, n.Name)
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return ci.Node{}, fmt.Errorf("the identities of %d nodes begin with %s: give more of it", len(found), name)
	case self:
		return ci.Node{}, fmt.Errorf("this machine, %s, is none of the nodes (%s): name one, or set RONDO_NODE", name, strings.Join(names, ", "))
	}
	return ci.Node{}, fmt.Errorf("there is no node %s; there are: %s", name, strings.Join(names, ", "))
}

// nodeDrainCommand is nomad node-drain.
func nodeDrainCommand() *cobra.Command {
	return oldCommand("node-drain [NODE]", "Let a node take nothing new, or let it take tasks again",
		`Node-drain -enable lets a node finish what it has and take nothing new; when its
allocations are 0 it is safe to end it. -disable lets it take tasks again. For
another node than this one it asks first, unless -yes is given.`,
		func(set *flag.FlagSet) func(*cobra.Command, []string) error {
			var f drainFlags
			set.BoolVar(&f.self, "self", false, "the node that this command runs on")
			set.BoolVar(&f.on, "enable", false, "start the drain")
			set.BoolVar(&f.off, "disable", false, "end the drain")
			set.BoolVar(&f.yes, "yes", false, "do not ask")
			set.DurationVar(&f.deadline, "deadline", 0, "after which what still runs is stopped and lost, as in 6h; 0 is never")
			set.BoolVar(&f.json, "json", false, "print JSON")
			return func(cmd *cobra.Command, args []string) error {
				name, err := one(cmd, args, "node", !f.self)
				if err != nil {
					return err
				}
				if f.on == f.off {
					return codeError{exitUsage, fmt.Errorf("say one of -enable and -disable")}
				}
				return drainNode(cmd, name, f)
			}
		})
}

type drainFlags struct {
	self, on, off, yes, json bool
	deadline                 time.Duration
}

func drainNode(cmd *cobra.Command, name string, f drainFlags) error {
	all, err := ask[listed[ci.Node]](cmd.Context(), "/nodes")
	if err != nil {
		return err
	}
	n, err := oneNode(all.Items, name, f.self)
	if err != nil {
		return err
	}
	if f.on && !f.yes && !f.self {
		if err := sure(cmd, fmt.Sprintf("Are you sure you want to enable drain mode for node %q?", n.Name), "-yes"); err != nil {
			return err
		}
	}
	body := map[string]any{"on": f.on}
	if f.on && f.deadline != 0 {
		body["deadline"] = f.deadline.String()
	}
	n, err = tell[ci.Node](cmd.Context(), "/nodes/"+url.PathEscape(n.ID)+"/drain", body)
	if err != nil || f.json {
		return orJSON(err, n)
	}
	w := cmd.OutOrStdout()
	switch {
	case !f.on:
		fmt.Fprintf(w, "Node %s takes tasks again.\n", n.Name)
	case n.Tasks == 0:
		fmt.Fprintf(w, "Node %s drains. It has nothing: it is safe to terminate.\n", n.Name)
	default:
		fmt.Fprintf(w, "Node %s drains: %d allocations finish, it takes nothing new.\n", n.Name, n.Tasks)
	}
	return nil
}

// sure asks a person, where there is one.
func sure(cmd *cobra.Command, question, flag string) error {
	if in, ok := cmd.InOrStdin().(*os.File); !ok || !term.IsTerminal(int(in.Fd())) {
		return codeError{exitUsage, fmt.Errorf("there is nobody to ask: say %s", flag)}
	}
	fmt.Fprint(cmd.ErrOrStderr(), question+" [y/N] ")
	answer, _ := bufio.NewReader(cmd.InOrStdin()).ReadString('\n')
	if a := strings.ToLower(strings.TrimSpace(answer)); a != "y" && a != "yes" {
		return codeError{exitGuard, fmt.Errorf("nothing was done")}
	}
	return nil
}

// nodeCommand has the newer forms.
func nodeCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "node", Short: "See the machines that run tasks, and drain them", Long: "Node shows and drains the machines that run tasks.\n\n" + remoteHelp}
	var s nodeFlags
	status := &cobra.Command{
		Use: "status [NODE]", Short: "List the nodes, or show one", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s.allocs = true
			return nodeStatus(cmd, strings.Join(args, ""), s)
		},
	}
	status.Flags().BoolVar(&s.self, "self", false, "the node that this command runs on")
	status.Flags().BoolVar(&s.json, "json", false, "print JSON")
	cmd.AddCommand(status, slotsCommand(), changeNode("drain", true), changeNode("ready", false))
	return cmd
}

// changeNode is the command that starts or ends a drain.
func changeNode(word string, on bool) *cobra.Command {
	f := drainFlags{on: on, off: !on}
	cmd := &cobra.Command{
		Use: word + " [NODE]", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && !f.self {
				return codeError{exitUsage, fmt.Errorf("name a node, or say --self")}
			}
			return drainNode(cmd, strings.Join(args, ""), f)
		},
	}
	cmd.Flags().BoolVar(&f.self, "self", false, "the node that this command runs on")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
	if cmd.Short = "Let a node take tasks again"; on {
		cmd.Short = "Let a node finish what it has and take nothing new"
		cmd.Flags().BoolVarP(&f.yes, "yes", "y", false, "do not ask")
		cmd.Flags().DurationVar(&f.deadline, "deadline", 0, "after which what still runs is stopped and lost; 0 is never")
	}
	return cmd
}

// printHost prints how busy this machine really is, where it tells, and with
// what: the processes of each allocation. Those in containers are the engine's
// to tell (docker stats).
func printHost(w io.Writer, placed []ci.Trace) {
	if rows := jobsUse(context.Background(), placed); len(rows) > 0 {
		fmt.Fprint(w, "\nAllocation Resource Utilization\n")
		columns(w, append([][]string{{"ID", "Processes", "CPU", "CPU Time", "Memory"}}, rows...)...)
	}
	cpu, memory, ok := hostUse(context.Background())
	if ok {
		fmt.Fprint(w, "\nHost Resource Utilization\n")
		columns(w, []string{"CPU", "Memory"}, []string{cpu, memory})
	}
}
