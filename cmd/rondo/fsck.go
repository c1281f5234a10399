package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/rondo-ci/rondo/ci/fsck"
	"github.com/rondo-ci/rondo/cmd/internal/screen"
	"github.com/spf13/cobra"
)

func fsckCommand() *cobra.Command {
	var quick, asJSON bool
	cmd := &cobra.Command{
		Use:   "fsck",
		Short: "Let a server check what it has stored",
		Long: `Fsck lets a running server check what it has stored against the rules that always
hold: states, graphs, leases, the length and hash of logs, events without gaps,
documents, the audit log. Nothing is changed, and the server goes on meanwhile;
what looks wrong is looked at twice.

Each finding is a line: code, object, what is wrong, what to do. It ends with 0
when there is none, and with 1 otherwise.

` + remoteHelp,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := newRemote(cmd.Context())
			if err != nil {
				return err
			}
			r.patient = true
			path := "/fsck"
			if quick {
				path += "?quick=1"
			}
			res, err := r.do(cmd.Context(), http.MethodGet, path, nil)
			if err != nil {
				return err
			}
			defer res.Body.Close()
			n, err := printFindings(cmd.OutOrStdout(), res.Body, asJSON)
			if err == nil && n > 0 {
				err = codeError{exitFailed, fmt.Errorf("%d findings", n)}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&quick, "quick", false, "read no logs, and ask neither database nor audit log")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print a line of JSON for each finding")
	return cmd
}

// printFindings prints findings until the line that ends them, and returns how
// many there were.
func printFindings(w io.Writer, r io.Reader, asJSON bool) (int, error) {
	for lines := json.NewDecoder(r); ; {
		var line struct {
			fsck.Finding
			Findings *int
			Message  string
		}
		if err := lines.Decode(&line); err != nil {
			return 0, fmt.Errorf("the server ended the check in the middle: %w", err)
		}
		if line.Findings == nil {
			if asJSON {
				if err := json.NewEncoder(w).Encode(line.Finding); err != nil {
					return 0, err
				}
				continue
			}
			fmt.Fprintln(w, screen.Text(line.Finding.String()))
			continue
		}
		if line.Message != "" {
			return *line.Findings, errors.New(line.Message)
		}
		if *line.Findings == 0 && !asJSON {
			fmt.Fprintln(w, "nothing is wrong")
		}
		return *line.Findings, nil
	}
}
