package main

import "github.com/spf13/cobra"

// nomadCommand is the parent of what operators know from the nomad command.
func nomadCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "nomad", Short: "The cluster's jobs and nodes, in the forms of the operator's guide"}
	cmd.AddCommand(jobStatusCommand(), nodeStatusCommand(), nodeDrainCommand(), agentLogsCommand(), clientConfigCommand())
	return cmd
}
