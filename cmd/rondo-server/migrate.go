package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/rondo-ci/rondo/cmd/internal/datadir"
	"github.com/rondo-ci/rondo/storage/sqldb"
	"github.com/spf13/cobra"
)

// databaseFile is the SQLite database in the data folder.
const databaseFile = "rondo.db"

func migrateCommand() *cobra.Command {
	var file string
	var to int64
	var status bool
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the database to an edition, up or down",
		Long: `Migrate brings the database of a server, which must be stopped, to the edition
that this version of Rondo works with, or with --to to an earlier one, so that
an earlier version can use it again. Nothing is lost on the way down: what the
earlier version does not know is there again after the way up.

A server brings its database up by itself when it starts, so this is needed
only for the way back: stop the server, run "migrate --to N" of the newer
version, and start the older one. The older one says which N it needs.

Each step is one transaction: when this is interrupted, run it again.`,
		Example: `  rondo-server migrate --config /etc/rondo/rondo.yml --status
  rondo-server migrate --config /etc/rondo/rondo.yml --to 1`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			set, err := loadSettings(file)
			if err != nil {
				return usageError{err}
			}
			return migrateDatabase(cmd, set, to, status)
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "rondo.yml", "the file of settings")
	cmd.Flags().Int64Var(&to, "to", 0, "the edition (the newest by default)")
	cmd.Flags().BoolVar(&status, "status", false, "only say which edition the database is of")
	return cmd
}

func migrateDatabase(cmd *cobra.Command, set settings, to int64, status bool) error {
	ctx := cmd.Context()
	if ctx == nil {
		ctx = context.Background()
	}
	dsn, err := set.Database.read()
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	folder, err := datadir.Open(set.Data) // nobody else uses a file in it
	if err != nil {
		return err
	}
	defer folder.Close()
	dsn = cmp.Or(dsn, folder.Join(databaseFile))
	e, err := sqldb.ReadEdition(ctx, dsn)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	if status {
		_, err := fmt.Fprintf(out, "the database is of edition %d, this version of Rondo works with %d\n", e.Have, e.Newest)
		return err
	}
	to = cmp.Or(to, e.Newest)
	if _, err := sqldb.Migrate(ctx, dsn, to); err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "the database was of edition %d and is of edition %d\n", e.Have, to)
	return err
}
