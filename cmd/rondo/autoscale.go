package main

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/scheduler/autoscale"
	"github.com/spf13/cobra"
)

// autoscaleCommand plays policies of scaling before they cost money.
func autoscaleCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "autoscale", Short: "Play how many nodes there should be, on real or made-up builds, before it costs money",
		Long: `Autoscale plays a queue of builds against a fleet of nodes, and says how long
builds would have waited and what it would have cost. It changes nothing.

Where to begin: rondo autoscale recommend --org gh/acme
plays dozens of policies on what your server ran in the last four weeks
and prints the cheapest that keep to the guide's targets: most work starts
within a second, expensive and highly parallel work within ten.`,
	}
	cmd.AddCommand(simulateCommand(), recommendCommand())
	return cmd
}

// policyHelp explains the policies.
func policyHelp() string {
	var b strings.Builder
	b.WriteString("Policies:\n")
	for _, f := range autoscale.Forms() {
		fmt.Fprintf(&b, "  %s\n      %s\n", f[0], f[1])
	}
	return b.String()
}

const scalingHelp = `Builds come from one of these:
  --trace FILE   CSV, plain or gzip, with the columns queued_at and run_s, and if
                 you like class, parallelism, project; or a usage export of
                 Rondo or CircleCI as it is. - is standard input
  --org SLUG     what the server ran for an organization in the last --days
                 (RONDO_URL and RONDO_TOKEN say where it is; on its own machine
                 nothing need be said)
  --traffic      made up by chance: steady, sine (by the day) or office

A forecast floor with a reaction on top is usually best: a node that is ordered
when builds already wait comes a boot too late. Reaction alone pays off only
where nodes boot much faster than builds run.
`

func simulateCommand() *cobra.Command {
	var t traceFlags
	var policies []string
	var asCSV, svg string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "simulate --policy POLICY [--policy POLICY ...]", Short: "Play policies on a trace of builds", Args: cobra.NoArgs,
		Long: "Simulate plays each policy on the same builds.\n\n" + policyHelp() + "\n" + scalingHelp,
		Example: `  rondo autoscale simulate --traffic office --per-hour 120 --policy static:12 --policy headroom:spare=2,beta=1
  rondo autoscale simulate --org gh/acme --policy 'hybrid:forecast+headroom:spare=1' --svg fleet.svg
  rondo autoscale simulate --trace builds.csv --tz Europe/Berlin \
    --policy 'schedule:tz=Europe/Berlin;mon-fri 07:30=12;mon-fri 19:00=2' --csv result.csv`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(policies) == 0 {
				return codeError{exitUsage, fmt.Errorf("name a policy with --policy, as in --policy static:12; 'rondo autoscale simulate --help' lists them")}
			}
			jobs, fleet, zone, err := t.read(cmd)
			if err != nil {
				return err
			}
			week, err := autoscale.Learn(jobs, fleet, zone)
			if err != nil {
				return codeError{exitUsage, err}
			}
			var all []autoscale.Result
			for _, text := range policies {
				p, err := autoscale.Parse(text, week)
				if err != nil {
					return codeError{exitUsage, err}
				}
				r, err := autoscale.Simulate(jobs, fleet, p, t.seed)
				if err != nil {
					return codeError{exitUsage, err}
				}
				all = append(all, r)
			}
			if err := writeChart(svg, all[0], zone); err != nil {
				return err
			}
			if err := toFile(asCSV, func(w io.Writer) error { return writeResults(w, all) }); err != nil {
				return err
			}
			if asJSON {
				return printJSON(all)
			}
			if asCSV != "-" && svg != "-" {
				printResults(cmd.OutOrStdout(), all)
			}
			return nil
		},
	}
	t.flags(cmd)
	cmd.Flags().StringArrayVar(&policies, "policy", nil, "to play; may be given again")
	cmd.Flags().StringVar(&asCSV, "csv", "", "write the results as CSV into this file; - is standard output")
	cmd.Flags().StringVar(&svg, "svg", "", "draw the first policy's nodes and queue as SVG into this file; - is standard output")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON, with the points of the chart")
	return cmd
}

func writeChart(name string, r autoscale.Result, zone *time.Location) error {
	return toFile(name, func(w io.Writer) error { return autoscale.WriteChart(w, r, zone) })
}

// toFile writes a file, or with - standard output; without a name nothing.
func toFile(name string, write func(io.Writer) error) error {
	switch name {
	case "":
		return nil
	case "-":
		return write(os.Stdout)
	}
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	if err := write(f); err != nil {
		_ = f.Close()
		return fmt.Errorf("write %s: %w", name, err)
	}
	return f.Close()
}

// resultColumns are those of the CSV, with the waits of one group of builds in
// each line.
var resultColumns = []string{
	"policy", "builds_of", "builds", "wait_mean_s", "wait_p50_s", "wait_p95_s", "wait_p99_s", "wait_max_s", "share_over_1s", "share_over_10s",
	"utilisation", "node_hours", "machine_cost", "developer_cost", "cost", "scale_ups", "scale_downs", "killed", "most_nodes",
}

func writeResults(w io.Writer, all []autoscale.Result) error {
	c := csv.NewWriter(w)
	_ = c.Write(resultColumns)
	f := func(v float64) string { return strconv.FormatFloat(v, 'f', 4, 64) }
	for _, r := range all {
		for _, q := range slices.Concat([]autoscale.Waits{r.All, r.Usual, r.Heavy}, r.Classes) {
			_ = c.Write([]string{
				r.Policy, q.Name, strconv.Itoa(q.Builds), f(q.Mean), f(q.P50), f(q.P95), f(q.P99), f(q.Max), f(q.Over1), f(q.Over10),
				f(r.Utilisation), f(r.NodeHours), f(r.MachineCost), f(r.DeveloperCost), f(r.Cost),
				strconv.Itoa(r.Ups), strconv.Itoa(r.Downs), strconv.Itoa(r.Killed), strconv.Itoa(r.Most),
			})
		}
	}
	c.Flush()
	return c.Error()
}

func printResults(w io.Writer, all []autoscale.Result) {
	rows := [][]string{{"POLICY", "COST", "MACHINES", "WAITING", "MEAN WAIT", "P95", "P99", "HEAVY P95", "NODES", "BUSY"}}
	for _, r := range all {
		rows = append(rows, resultRow(r, r.Policy))
	}
	fmt.Fprintf(w, "%d builds in %.1f hours; waits in seconds, costs in dollars.\n\n", all[0].All.Builds, all[0].Hours)
	columns(w, rows...)
}

func resultRow(r autoscale.Result, name string) []string {
	s := func(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }
	heavy := "-"
	if r.Heavy.Builds > 0 {
		heavy = s(r.Heavy.P95)
	}
	mean := 0.0
	if r.Hours > 0 {
		mean = r.NodeHours / r.Hours
	}
	return []string{name, s(r.Cost), s(r.MachineCost), s(r.DeveloperCost), s(r.All.Mean), s(r.All.P95), s(r.All.P99), heavy,
		fmt.Sprintf("%.1f, most %d", mean, r.Most), fmt.Sprintf("%.0f%%", 100*r.Utilisation)}
}

func recommendCommand() *cobra.Command {
	var t traceFlags
	var goal autoscale.Goal
	var policies []string
	var svg, export, metric string
	var top int
	var asJSON bool
	cmd := &cobra.Command{
		Use: "recommend", Short: "Play many policies, and name the cheapest that keeps to the targets", Args: cobra.NoArgs,
		Long: "Recommend plays dozens of policies and lists the cheapest that keep to\nthe targets. With --export the best one that Amazon's Auto Scaling can follow by\nitself is written as its scheduled actions, step policies and alarms.\n\n" + scalingHelp,
		Example: `  rondo autoscale recommend --org gh/acme
  rondo autoscale recommend --trace usage.csv.gz --boot 3m --price 0.26 --wait 2s --export asg.json --svg best.svg`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			jobs, fleet, zone, err := t.read(cmd)
			if err != nil {
				return err
			}
			week, err := autoscale.Learn(jobs, fleet, zone)
			var extra []autoscale.Policy
			for _, text := range policies {
				p, bad := autoscale.Parse(text, week)
				if bad != nil {
					return codeError{exitUsage, bad}
				}
				extra = append(extra, p)
			}
			if err != nil {
				return codeError{exitUsage, err}
			}
			all, err := autoscale.Recommend(cmd.Context(), jobs, fleet, goal, zone, t.seed, extra...)
			if err != nil {
				return codeError{exitUsage, err}
			}
			if err := writeChart(svg, all[0].Result, zone); err != nil {
				return err
			}
			if err := writeExport(export, all, metric); err != nil {
				return err
			}
			for i := range all {
				all[i].Points = nil
			}
			shown := all[:min(max(top, 1), len(all))]
			if asJSON {
				return printJSON(shown)
			}
			if svg != "-" && export != "-" {
				printCandidates(cmd.OutOrStdout(), all, shown)
			}
			return nil
		},
	}
	t.flags(cmd)
	cmd.Flags().DurationVar(&goal.Wait, "wait", time.Second, "within which most work should start")
	cmd.Flags().DurationVar(&goal.HeavyWait, "heavy-wait", 10*time.Second, "within which builds of more than 8 CPUs, all slices together, should start")
	cmd.Flags().Float64Var(&goal.Share, "share", 0.95, "of builds that must start within these times")
	cmd.Flags().StringArrayVar(&policies, "policy", nil, "to play as well, such as the one you have; may be given again")
	cmd.Flags().IntVar(&top, "top", 10, "how many to show")
	cmd.Flags().StringVar(&svg, "svg", "", "draw the best one's nodes and queue as SVG into this file; - is standard output")
	cmd.Flags().StringVar(&export, "export", "", "write the best that Amazon's Auto Scaling can follow, as JSON, into this file; - is standard output")
	cmd.Flags().StringVar(&metric, "metric", "FreeNodes", "name that CloudWatch has for the number of free nodes, in --export")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// writeExport writes the best policy that has a form of Amazon's.
func writeExport(name string, all []autoscale.Candidate, metric string) error {
	if name == "" {
		return nil
	}
	for _, c := range all {
		e, err := autoscale.AWS(c.Policy, metric)
		if err != nil || !c.Meets {
			continue
		}
		note("exported: %s", c.Result.Policy)
		return toFile(name, func(w io.Writer) error {
			enc := json.NewEncoder(w)
			enc.SetIndent("", "  ")
			return enc.Encode(e)
		})
	}
	return fmt.Errorf("none of the policies that keep to the targets has a form of Amazon's Auto Scaling")
}

func printCandidates(w io.Writer, all, shown []autoscale.Candidate) {
	meet := 0
	for _, c := range all {
		if c.Meets {
			meet++
		}
	}
	fmt.Fprintf(w, "%d builds in %.1f hours. %d policies played, %d keep to the targets.\n\n", all[0].All.Builds, all[0].Hours, len(all), meet)
	rows := [][]string{{"POLICY", "TARGETS", "SAVES", "COST", "MACHINES", "WAITING", "MEAN WAIT", "P95", "P99", "HEAVY P95", "NODES", "BUSY"}}
	for _, c := range shown {
		keeps := "missed"
		if c.Meets {
			keeps = "kept"
		}
		r := resultRow(c.Result, shorter(c.Result.Policy, 70))
		rows = append(rows, slices.Concat(r[:1], []string{keeps, fmt.Sprintf("%.0f%%", 100*c.Saves)}, r[1:]))
	}
	columns(w, rows...)
	fmt.Fprint(w, "\nWaits in seconds, costs in dollars. SAVES is against the cheapest fleet of one size that keeps to the targets.\n")
	if meet == 0 {
		fmt.Fprint(w, "No policy keeps to the targets: raise --max or the targets, or use nodes that boot faster.\n")
	}
}

// shorter cuts a long policy for a table; JSON and CSV have it whole.
func shorter(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n-3] + "..."
}
