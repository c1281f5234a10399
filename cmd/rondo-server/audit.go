package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/rondo-ci/rondo/audit"
	"github.com/rondo-ci/rondo/audit/bucket"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/storage"
	"github.com/rondo-ci/rondo/storage/sqldb"
	"github.com/spf13/cobra"
	"gocloud.dev/blob"
)

// auditFlags say where the book is.
type auditFlags struct {
	data, bucket, key string
	config            string
	query             ci.AuditQuery
	from, to          string
}

func auditCommand() *cobra.Command {
	var f auditFlags
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Read and verify the book of who did what",
		Long: `Audit reads the audit log of a server from its data folder, or from a folder
that its files were copied to (--bucket), or from the bucket of storage.s3 that
the server's settings name (--config), with no server at hand. Events of the
hour that is not over are in the data folder only.

Verify and prove need the server's public key: audit.pub in its data folder.
Keep a copy of it where the server cannot change it.`,
	}
	cmd.PersistentFlags().StringVar(&f.data, "data", "", "the data folder of a server")
	cmd.PersistentFlags().StringVar(&f.config, "config", "", "the settings of a server: its data folder and its bucket")
	cmd.PersistentFlags().StringVar(&f.bucket, "bucket", "", "a folder with audit-logs in it")
	cmd.PersistentFlags().StringVar(&f.key, "key", "", "the public key, or the file that it is in (default audit.pub in --data)")
	cmd.AddCommand(auditTail(&f), auditQuery(&f), auditExport(&f), auditVerify(&f), auditProve(&f), auditRotateKey(&f), &cobra.Command{
		Use: "catalogue", Short: "Print all actions as a table in Markdown", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprint(cmd.OutOrStdout(), audit.Table())
			return err
		},
	})
	return cmd
}

// filters adds the flags that narrow what is read.
func (f *auditFlags) filters(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVar(&f.query.Action, "action", "", "an action, with * for any characters, as in workflow.job.*")
	cmd.Flags().StringVar(&f.query.Actor, "actor", "", "who did it: name or identity")
	cmd.Flags().StringVar(&f.query.Target, "target", "", "what was acted upon: name or identity")
	cmd.Flags().StringVar(&f.query.Text, "text", "", "what is anywhere in the event")
	cmd.Flags().StringVar(&f.from, "from", "", "the earliest time, as in 2026-11-24T00:00:00Z")
	cmd.Flags().StringVar(&f.to, "to", "", "the first time that is too late")
	return cmd
}

// open opens the files, and the database too if there is one. The database is
// nil with --bucket.
func (f *auditFlags) open(ctx context.Context) (files audit.Bucket, book *audit.Book, done func(), err error) {
	for text, to := range map[string]*time.Time{f.from: &f.query.From, f.to: &f.query.To} {
		if text == "" {
			continue
		}
		if *to, err = time.Parse(time.RFC3339Nano, text); err != nil {
			return nil, nil, nil, usageError{fmt.Errorf("%q is no time, as in 2026-11-24T00:00:00Z", text)}
		}
	}
	b, err := f.openBucket(ctx)
	if err != nil {
		return nil, nil, nil, err
	}
	files = bucket.New(b)
	done = func() { _ = b.Close() }
	if _, err := os.Stat(filepath.Join(f.data, databaseFile)); f.data == "" || err != nil {
		return files, nil, done, nil // or the database is a Postgres: what is in the files is read
	}
	db, err := sqldb.Open(ctx, filepath.Join(f.data, databaseFile), sqldb.Config{})
	if err != nil {
		done()
		return nil, nil, nil, err
	}
	signer, err := audit.NewSigner("reader", make([]byte, 16)) // it signs nothing
	if err != nil {
		return nil, nil, nil, err
	}
	return files, audit.New(db, files, signer, audit.Config{}), func() { _ = db.Close(); _ = b.Close() }, nil
}

// openBucket opens the bucket that the files are in.
func (f *auditFlags) openBucket(ctx context.Context) (*blob.Bucket, error) {
	named := 0
	for _, where := range []string{f.data, f.bucket, f.config} {
		if where != "" {
			named++
		}
	}
	if named != 1 {
		return nil, usageError{errors.New("name one of --data, --bucket and --config")}
	}
	dir := f.bucket
	if f.config != "" {
		s, err := loadSettings(f.config)
		if err != nil {
			return nil, usageError{err}
		}
		f.data = s.Data
		if s.Storage.S3 != nil {
			r, err := s.reach(nil)
			if err != nil {
				return nil, err
			}
			store, err := s.Storage.S3.open(ctx, r)
			if err != nil {
				return nil, err
			}
			return store.Blobs(), nil
		}
	}
	if f.data != "" {
		dir = auditFolder(f.data)
	}
	if _, err := os.Stat(dir); err != nil {
		return nil, err
	}
	return storage.OpenDir(dir)
}

// lines are all lines after a number: of the data folder, or of files alone.
func auditLines(ctx context.Context, files audit.Bucket, book *audit.Book, after uint64) iter.Seq2[audit.Line, error] {
	if book != nil {
		return book.Lines(ctx, after)
	}
	return audit.FileLines(ctx, files)
}

// publicKey reads the key that checkpoints are checked with.
func (f *auditFlags) publicKey() (audit.Key, error) {
	file := f.key
	if strings.Count(f.key, "+") >= 2 { // the key itself
		return audit.Key(f.key), nil
	}
	if file == "" && f.data != "" {
		file = filepath.Join(f.data, auditPublic)
	}
	if file == "" {
		return "", usageError{errors.New("--key is missing: the public key of the server, from audit.pub in its data folder")}
	}
	text, err := os.ReadFile(file)
	return audit.Key(strings.TrimSpace(string(text))), err
}

func auditTail(f *auditFlags) *cobra.Command {
	var follow bool
	var n int
	cmd := &cobra.Command{
		Use: "tail", Short: "Print the newest events", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			files, book, done, err := f.open(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			var last []audit.Line
			var at uint64
			for l, err := range auditLines(cmd.Context(), files, book, 0) {
				if err != nil {
					return err
				}
				at = l.Seq
				if last = append(last, l); len(last) > n {
					last = last[1:]
				}
			}
			for _, l := range last {
				if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\n", l.Text); err != nil {
					return err
				}
			}
			for follow && book != nil && cmd.Context().Err() == nil {
				for l, err := range book.Lines(cmd.Context(), at) {
					if err != nil {
						return err
					}
					at = l.Seq
					if _, err := fmt.Fprintf(cmd.OutOrStdout(), "%s\n", l.Text); err != nil {
						return err
					}
				}
				select {
				case <-cmd.Context().Done():
				case <-time.After(500 * time.Millisecond):
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what comes (with --data)")
	cmd.Flags().IntVarP(&n, "lines", "n", 10, "how many")
	return cmd
}

func auditQuery(f *auditFlags) *cobra.Command {
	return f.filters(&cobra.Command{
		Use: "query", Short: "Print the events that match, oldest first", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.write(cmd, audit.JSONL) },
	})
}

func auditExport(f *auditFlags) *cobra.Command {
	var format string
	cmd := f.filters(&cobra.Command{
		Use: "export", Short: "Write events as CSV or JSON lines", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.write(cmd, format) },
	})
	cmd.Flags().StringVar(&format, "format", audit.CSV, "csv, safe-csv (no cell is a formula) or jsonl")
	return cmd
}

func (f *auditFlags) write(cmd *cobra.Command, format string) error {
	files, book, done, err := f.open(cmd.Context())
	if err != nil {
		return err
	}
	defer done()
	out := bufio.NewWriterSize(cmd.OutOrStdout(), 1<<16)
	err = audit.Write(out, auditLines(cmd.Context(), files, book, 0), format, f.query)
	return errors.Join(err, out.Flush())
}

func auditVerify(f *auditFlags) *cobra.Command {
	return &cobra.Command{
		Use: "verify", Short: "Verify that no event was changed", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			files, _, done, err := f.open(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			key, err := f.publicKey()
			if err != nil {
				return err
			}
			r, err := audit.Verify(cmd.Context(), files, key)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "good: %d events in %d files, signed by %d checkpoints\nhead %s\nroot %s\n",
				r.Lines, r.Files, r.Checkpoints, r.Head, r.Root)
			return err
		},
	}
}

func auditProve(f *auditFlags) *cobra.Command {
	return &cobra.Command{
		Use: "prove ID", Short: "Print a proof that an event is in the log", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			files, _, done, err := f.open(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			key, err := f.publicKey()
			if err != nil {
				return err
			}
			p, err := audit.Prove(cmd.Context(), files, key, args[0])
			if err != nil {
				return err
			}
			if _, err := p.Check(key); err != nil {
				return err
			}
			e := json.NewEncoder(cmd.OutOrStdout())
			e.SetEscapeHTML(false)
			e.SetIndent("", "  ")
			return e.Encode(p)
		},
	}
}
