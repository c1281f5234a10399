package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func authCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "auth", Short: "Let administrators in again"}
	cmd.AddCommand(authResetCommand())
	return cmd
}

func authResetCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "reset [LOGIN]",
		Short: "Take a password of this server away and print the link to a new one",
		Long: `Reset is for when the password of an administrator's local account is lost, or
known to somebody who should not know it. The password is good no longer, all
browsers of that user are logged out, and the link that is printed gives the
account another password: once, and within a day. The audit log has it.

It asks the server that runs on the data folder of the settings; whoever may
read that folder may do this. Without a LOGIN it takes the only local account.
If there is none, rondo-server serve --bootstrap makes an administrator.`,
		Example: `  rondo-server auth reset --config rondo.yml root`,
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := runningServer(file)
			if err != nil {
				return err
			}
			var ask struct {
				Login string `json:"login"`
			}
			if len(args) == 1 {
				ask.Login = args[0]
			}
			var link struct{ URL string }
			if err := s.do(cmd.Context(), "POST", "/users/password-reset", ask, &link); err != nil {
				return fmt.Errorf("auth reset: %w", err)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "The password is taken away, and all browsers are logged out. Open this link, once, within a day:\n\n  %s\n", link.URL)
			return err
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "rondo.yml", "the file of settings")
	return cmd
}
