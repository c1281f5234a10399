package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

func portsCommand() *cobra.Command {
	var file string
	var asJSON, template, all bool
	cmd := &cobra.Command{
		Use: "ports", Short: "Print which ports have to be open between which machines, by the settings",
		Long: `Ports prints a manifest for firewalls: each port that has to be open with these
settings, on which machine, for whom, and which setting it is of. With --all it
also prints the ports of the operations guide that nothing needs, and why. What
was saved on the page of settings is not looked at.

With --cloudformation it prints the same as a template of Amazon: security
groups of the server and of its clients, and the listeners of a load balancer.`,
		Example: `  rondo-server ports --config /etc/rondo/rondo.yml
  rondo-server ports --all
  rondo-server ports --json | jq '.[] | select(.applies)'
  rondo-server ports --cloudformation > rondo-network.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := loadSettings(file)
			if err != nil {
				return usageError{err}
			}
			rules := portRules(s)
			switch {
			case template:
				return writeJSON(cmd.OutOrStdout(), formation(s, rules))
			case asJSON:
				return writeJSON(cmd.OutOrStdout(), rules)
			}
			return printPorts(cmd.OutOrStdout(), rules, all)
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "rondo.yml", "the file of settings")
	cmd.Flags().BoolVar(&all, "all", false, "also the guide's ports that nothing needs")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print all of them as JSON")
	cmd.Flags().BoolVar(&template, "cloudformation", false, "print a template of CloudFormation")
	cmd.MarkFlagsMutuallyExclusive("json", "cloudformation", "all")
	return cmd
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// printPorts prints a table, what nothing needs last.
func printPorts(w io.Writer, rules []portRule, all bool) error {
	table := tabwriter.NewWriter(w, 0, 4, 2, ' ', 0)
	fmt.Fprintln(table, "MACHINE\tPORT\tDIRECTION\tPEER\tUSE\tSETTING")
	line := func(r portRule) {
		fmt.Fprintf(table, "%s\t%s/%s\t%s\t%s\t%s\t%s\n", r.Machine, r.Opens, r.Protocol, r.Direction, r.Peer, r.Use, r.Here)
	}
	for _, r := range rules {
		if r.Applies {
			line(r)
		}
	}
	if all {
		fmt.Fprintln(table, "\nNot needed:\t\t\t\t\t")
		for _, r := range rules {
			if !r.Applies {
				line(r)
			}
		}
	}
	return table.Flush()
}
