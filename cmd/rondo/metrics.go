package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"

	"github.com/rondo-ci/rondo/metrics/doctor"
	"github.com/rondo-ci/rondo/proxy/certificate"
	"github.com/spf13/cobra"
)

func metricsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "metrics", Short: "Look after configurations of Telegraf"}
	config := &cobra.Command{Use: "config", Short: "Configurations of Telegraf"}
	config.AddCommand(metricsDoctorCommand())
	cmd.AddCommand(config)
	return cmd
}

func metricsDoctorCommand() *cobra.Command {
	var fix, asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor PATH...",
		Short: "Explain what today's Telegraf would not understand, and mend it",
		Long: `Doctor reads configurations of Telegraf, files or folders with *.conf, of any
release since 2018. It explains what today's Telegraf would not do as it is meant:
[[output.influxdb]] in the singular, url instead of urls, parse_data_dog_tags, two
inputs on one port, names that do not exist. With --write it mends the files, and
leaves comments and the rest as they are.

It ends with 1 when something is left to mend.`,
		Example: `  rondo metrics config doctor /etc/circleconfig/telegraf
  rondo metrics config doctor --write influxdb.conf`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			files, err := doctor.Read(args...)
			if err != nil {
				return codeError{exitUsage, err}
			}
			mended, found := doctor.Examine(files...)
			left := len(found)
			if fix {
				for i, f := range mended {
					if f.Text == files[i].Text {
						continue
					}
					info, err := os.Stat(f.Name)
					if err != nil {
						return err
					}
					if err := certificate.WriteFile(f.Name, []byte(f.Text), info.Mode().Perm()); err != nil {
						return err
					}
				}
				left -= len(slices.DeleteFunc(slices.Clone(found), func(f doctor.Finding) bool { return f.Now == "" }))
			}
			if asJSON {
				if err := json.NewEncoder(cmd.OutOrStdout()).Encode(found); err != nil {
					return err
				}
			} else {
				for _, f := range found {
					fmt.Fprintln(cmd.OutOrStdout(), f)
				}
			}
			if left > 0 {
				return codeError{code: exitFailed}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&fix, "write", false, "mend the files")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
