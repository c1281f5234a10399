package main

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/scheduler"
	"github.com/spf13/cobra"
)

// slots are how many tasks of a class a node runs, and how many more it has
// room for.
type slots struct {
	Node  string `json:"node"`
	Class string `json:"class"`
	Used  int    `json:"used"`
	Free  int    `json:"free"`
}

func slotsCommand() *cobra.Command {
	var asJSON bool
	var classes []string
	cmd := &cobra.Command{
		Use: "slots", Short: "Count what each node runs and has room for, by resource class", Args: cobra.NoArgs,
		Long: `Slots answers how many build containers are available: for each node and resource
class the tasks that run there, and how many more fit beside all that it has. What
is free is free once: a slot of a large class is several of a small one. A node
that drains or is down has room for none.

` + remoteHelp,
		RunE: func(cmd *cobra.Command, _ []string) error {
			nodes, err := ask[listed[ci.Node]](cmd.Context(), "/nodes")
			if err != nil {
				return err
			}
			placed, err := ask[listed[ci.Trace]](cmd.Context(), "/placements")
			if err != nil {
				return err
			}
			all, err := countSlots(nodes.Items, placed.Items, classes)
			if err != nil || asJSON {
				return orJSON(err, all)
			}
			rows := [][]string{{"NODE", "CLASS", "USED", "FREE"}}
			for _, s := range all {
				rows = append(rows, []string{s.Node, s.Class, strconv.Itoa(s.Used), strconv.Itoa(s.Free)})
			}
			columns(cmd.OutOrStdout(), rows...)
			return nil
		},
	}
	cmd.Flags().StringSliceVar(&classes, "class", []string{"small", "medium", "medium+", "large", "xlarge", "2xlarge"}, "classes to count besides those that run")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// countSlots counts by node and class: the classes that were named, and all that
// run.
func countSlots(nodes []ci.Node, placed []ci.Trace, classes []string) ([]slots, error) {
	sizes := scheduler.DefaultClasses()
	for _, name := range classes {
		if _, ok := sizes[name]; !ok {
			return nil, codeError{exitUsage, fmt.Errorf("there is no resource class %q; there are: %v", name, slices.Sorted(maps.Keys(sizes)))}
		}
	}
	type place struct{ node, class string }
	used := map[place]int{}
	for _, t := range placed {
		if t.State != "dead" && t.Node != "" {
			used[place{t.Node, cmp.Or(t.Task.Class, "medium")}]++
		}
	}
	all := []slots{}
	for _, n := range nodes {
		names := slices.Clone(classes)
		for p := range used {
			if p.node == n.Name && !slices.Contains(names, p.class) {
				names = append(names, p.class)
			}
		}
		slices.SortFunc(names, func(a, b string) int {
			return cmp.Or(cmp.Compare(sizes[a].CPU, sizes[b].CPU), cmp.Compare(a, b))
		})
		for _, name := range names {
			s := slots{Node: n.Name, Class: name, Used: used[place{n.Name, name}]}
			if size, ok := sizes[name]; ok && n.State == "ready" && !n.Drain {
				fit := min((n.CPU-n.UsedCPU)/size.CPU, float64(n.MemoryMB-n.UsedMemoryMB)/float64(size.MemoryMB))
				s.Free = max(int(math.Floor(fit)), 0)
			}
			all = append(all, s)
		}
	}
	return all, nil
}
