package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/rondo-ci/rondo/audit"
	"github.com/rondo-ci/rondo/audit/bucket"
	"github.com/rondo-ci/rondo/ci"
	"github.com/rondo-ci/rondo/ci/fsck"
	"github.com/rondo-ci/rondo/cmd/internal/datadir"
	"github.com/rondo-ci/rondo/storage"
	"github.com/rondo-ci/rondo/storage/sqldb"
	"github.com/spf13/cobra"
)

func fsckCommand() *cobra.Command {
	var file, data string
	var quick, asJSON bool
	cmd := &cobra.Command{
		Use:   "fsck",
		Short: "Check what a stopped server has stored",
		Long: `Fsck checks what a server has stored against the rules that always hold: states,
graphs, leases, the length and hash of logs, events without gaps, documents, the
audit log. It changes nothing. The server must be stopped; for one that runs see
"rondo fsck".

Each finding is a line: code, object, what is wrong, what to do. It ends with 0
when there is none, and with 1 otherwise.`,
		Example: `  rondo-server fsck --config /etc/rondo/rondo.yml
  rondo-server fsck --data ~/.local/share/rondo/shop --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			set := settings{Data: data}
			if file != "" {
				var err error
				if set, err = loadSettings(file); err != nil {
					return usageError{err}
				}
			}
			if set.Data == "" {
				return usageError{errors.New("name the settings with --config or the data folder with --data")}
			}
			return fsckFolder(cmd, set, quick, asJSON)
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "the file of settings")
	cmd.Flags().StringVar(&data, "data", "", "the data folder of a server")
	cmd.Flags().BoolVar(&quick, "quick", false, "read no logs, and ask neither database nor audit log")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a line of JSON for each finding")
	return cmd
}

// fsckFolder checks a data folder that nobody uses.
func fsckFolder(cmd *cobra.Command, set settings, quick, asJSON bool) error {
	ctx := cmd.Context()
	folder, err := datadir.Open(set.Data)
	if err != nil {
		return fmt.Errorf("%w; for a server that runs use: rondo fsck", err)
	}
	defer folder.Close()
	dsn, err := set.Database.read()
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	if dsn == "" {
		dsn = folder.Join(databaseFile)
	}
	in := &installation{folder: folder}
	if in.reach, err = set.reach(nil); err != nil {
		return err
	}
	if in.db, err = sqldb.Open(ctx, dsn, sqldb.Config{Roots: in.reach.roots.Pool}); err != nil {
		return err
	}
	defer in.db.Close()
	in.log, in.storing = newLog("text", os.Stderr), set.Storage
	files, err := in.openFiles(ctx)
	if err != nil {
		return err
	}
	defer files.Close()
	if in.logs, err = storage.OpenLogs(folder.Join("logs"), storage.LogsConfig{Bucket: files}); err != nil {
		return err
	}
	defer in.logs.Close()
	signer, err := audit.NewSigner("reader", make([]byte, 16)) // it signs nothing
	if err != nil {
		return err
	}
	in.book = audit.New(in.db, bucket.New(files), signer, audit.Config{})
	src, err := in.stored(ctx)
	if err != nil {
		return err
	}
	n := 0
	for f, err := range fsck.Examine(ctx, src, fsck.Config{Again: -1, Quick: quick}) {
		if err != nil {
			return err
		}
		n++
		if asJSON {
			err = printJSON(f)
		} else {
			_, err = fmt.Fprintln(cmd.OutOrStdout(), f)
		}
		if err != nil {
			return err
		}
	}
	if n > 0 {
		return fmt.Errorf("%d findings", n)
	}
	if !asJSON {
		_, err = fmt.Fprintln(cmd.OutOrStdout(), "nothing is wrong")
	}
	return err
}

// stored is what the installation has stored, for fsck.
func (in *installation) stored(ctx context.Context) (fsck.Source, error) {
	kinds, err := in.db.DocKinds(ctx)
	if err != nil {
		return fsck.Source{}, err
	}
	return fsck.Source{
		Store: in.db, Records: in.db, Tickets: in.db.Backlog().Open, Cursor: in.db.Backlog().Cursor, Docs: in.db, Kinds: kinds,
		ReadLog:  func(ctx context.Context, k ci.LogKey) (io.ReadCloser, error) { return in.logs.Read(ctx, k, 0) },
		Database: in.db.Check,
		Audit: func(ctx context.Context) error {
			_, err := in.book.Check(ctx)
			return err
		},
	}, nil
}

// fsckPage checks a running server and answers a line of JSON for each finding,
// and one at the end that says how many there were.
func (in *installation) fsckPage(w http.ResponseWriter, r *http.Request) {
	if !in.operatorOnly(w, r, "only operators check what is stored") {
		return
	}
	src, err := in.stored(r.Context())
	w.Header().Set("Content-Type", "application/x-ndjson")
	out, flush := json.NewEncoder(w), http.NewResponseController(w)
	n := 0
	if err == nil {
		for f, bad := range fsck.Examine(r.Context(), src, fsck.Config{Quick: r.URL.Query().Get("quick") == "1"}) {
			if err = bad; err != nil {
				break
			}
			n++
			if out.Encode(f) != nil {
				return // nobody reads any more
			}
			_ = flush.Flush()
		}
	}
	end := map[string]any{"findings": n}
	if err != nil {
		in.log.Error("fsck", "err", err)
		end["message"] = "the check could not go on; see the log of the server"
	}
	_ = out.Encode(end)
}

// operatorOnly reports whether an operator asks, and answers everybody else.
func (in *installation) operatorOnly(w http.ResponseWriter, r *http.Request, message string) bool {
	by, err := in.whoAPI(r, r.Header.Get("Circle-Token"))
	if err == nil {
		err = in.mayOperate(r.Context(), by)
	}
	if err == nil {
		return true
	}
	code := http.StatusForbidden
	if by == (ci.Actor{}) {
		code = http.StatusUnauthorized
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]string{"message": message})
	return false
}
